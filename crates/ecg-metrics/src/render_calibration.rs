use crate::LabelCalibration;
use crate::render::{markdown_table, number};

/// Formats the calibration of each label as Markdown, with an explanation of the columns.
pub(crate) fn markdown(all: &[LabelCalibration]) -> String {
    let mut text = String::from("Calibration:\n\n");
    let heads = [
        "Label",
        "Mean p",
        "Share",
        "Intercept",
        "Slope",
        "ECE width",
        "Max width",
        "ECE count",
        "Max count",
    ];
    let mut rows = vec![heads.map(String::from).to_vec()];
    rows.extend(all.iter().map(|own| {
        let mut row = vec![own.label.clone()];
        row.extend(
            [
                own.mean_probability,
                own.prevalence(),
                own.intercept,
                own.slope,
                own.equal_width.expected_error(),
                own.equal_width.max_error(),
                own.equal_count.expected_error(),
                own.equal_count.max_error(),
            ]
            .map(number),
        );
        row
    }));
    markdown_table(&mut text, &rows, 1);
    text.push_str(
        "\n\"Mean p\" is the mean probability, \"Share\" that of the records with the label; the intercept is best at 0 (below: \
         overstated), the slope at 1 (below: too extreme). Expected (ECE) and maximum calibration errors are over ten bins of \
         equal width, or of equal count.\n",
    );
    text
}
