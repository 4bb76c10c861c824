//! Matrices of signed numbers as SVG, each cell with its value and a colour for it.

use std::fmt::Write;

use crate::chart::{AGAINST, FOR, escape, open, signed};

const CELL: f64 = 52.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 62.0;

/// Draws a table of signed values, blue above zero and orange below, paler towards zero.
///
/// `values` has a row for each of `rows`, with a cell for each of `columns`. Cells that are `None` or not
/// finite stay white.
pub fn matrix_svg(
    title: &str,
    rows: &[String],
    columns: &[String],
    values: &[Vec<Option<f64>>],
) -> String {
    let (width, height) = (CELL * columns.len() as f64, CELL * 0.6 * rows.len() as f64);
    let finite = |value: &Option<f64>| value.filter(|value| value.is_finite());
    let all = values.iter().flatten().filter_map(finite);
    let peak = all.fold(0.0_f64, |peak, value| peak.max(value.abs()));
    let mut svg = open(LEFT + width + 20.0, TOP + height + 34.0, title);
    for (column, name) in columns.iter().enumerate() {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            LEFT + (column as f64 + 0.5) * CELL,
            TOP - 8.0,
            escape(name)
        );
    }
    for (row, name) in rows.iter().enumerate() {
        let top = TOP + row as f64 * CELL * 0.6;
        let middle = top + CELL * 0.3 + 4.0;
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            escape(name)
        );
        for (column, value) in values.get(row).into_iter().flatten().enumerate() {
            let Some(value) = finite(value) else { continue };
            let share = if peak > 0.0 { value.abs() / peak } else { 0.0 };
            let colour = if value < 0.0 { AGAINST } else { FOR };
            let left = LEFT + column as f64 * CELL;
            let _ = write!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{CELL}\" height=\"{:.1}\" fill=\"{colour}\" \
                 fill-opacity=\"{:.3}\"/><text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"middle\" font-size=\"11\" \
                 fill=\"#000\">{}</text>",
                CELL * 0.6,
                0.9 * share,
                left + CELL / 2.0,
                signed(value)
            );
        }
    }
    let _ = write!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height:.1}\" fill=\"none\" stroke=\"#333\"/>\
         <rect x=\"{LEFT}\" y=\"{0:.1}\" width=\"12\" height=\"12\" fill=\"{FOR}\"/><text x=\"{1}\" y=\"{2:.1}\">above \
         zero</text><rect x=\"{3}\" y=\"{0:.1}\" width=\"12\" height=\"12\" fill=\"{AGAINST}\"/><text x=\"{4}\" \
         y=\"{2:.1}\">below</text></svg>",
        TOP + height + 12.0,
        LEFT + 18.0,
        TOP + height + 23.0,
        LEFT + 110.0,
        LEFT + 128.0
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_their_values_and_colours() {
        let names = ["I".to_owned(), "<II>".to_owned()];
        let values = [vec![None, Some(0.5)], vec![Some(-0.25), Some(f64::NAN)]];
        let svg = matrix_svg("pairs", &names, &names, &values);
        assert!(svg.contains("&lt;II&gt;") && !svg.contains("NaN"));
        assert!(svg.contains(&format!("fill=\"{FOR}\" fill-opacity=\"0.900\"")));
        assert!(svg.contains(&format!("fill=\"{AGAINST}\" fill-opacity=\"0.450\"")));
        assert!(svg.contains(">+0.50<") && svg.contains(">-0.25<"));
        assert!(!matrix_svg("none", &[], &[], &[]).contains("NaN"));
    }
}
