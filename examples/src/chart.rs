//! Charts as SVG text: lines, signed bars and box plots, in colours that colour-blind people can tell apart.
//!
//! The pictures are self-contained: no script, no style sheet, no font file.

use std::fmt::Write;

/// The colours of Okabe and Ito, except their yellow, which is hard to see on white paper.
pub const COLOURS: [&str; 7] =
    ["#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"];

/// Colour for values that support a label. It and [`AGAINST`] are blue and orange, which can be told apart with any
/// colour vision.
pub const FOR: &str = "#0072b2";
/// Colour for values that speak against a label; see [`FOR`].
pub const AGAINST: &str = "#d55e00";

/// Dash patterns, taken in turn once the colours are used up.
const DASHES: [&str; 5] = ["", "6 3", "2 2", "8 3 2 3", "1 3"];

/// One line of a [`LineChart`].
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// Points in order; a point that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
}

/// Lines over two linear axes, with a legend at the right.
#[derive(Debug, Clone, PartialEq)]
pub struct LineChart {
    /// Title above the picture.
    pub title: String,
    /// Label below the x axis.
    pub x_label: String,
    /// Label beside the y axis.
    pub y_label: String,
    /// Range of the x axis.
    pub x: (f64, f64),
    /// Range of the y axis.
    pub y: (f64, f64),
    /// Whether a grey line runs from corner to corner (the result of guessing).
    pub diagonal: bool,
    /// The lines.
    pub series: Vec<Series>,
}

/// The position of the plot within a picture, and the ranges it shows.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn px(&self, x: f64) -> f64 {
        self.left + (x - self.x.0) / (self.x.1 - self.x.0) * self.width
    }

    fn py(&self, y: f64) -> f64 {
        self.top + (self.y.1 - y) / (self.y.1 - self.y.0) * self.height
    }

    /// Grid lines and numbers of the y axis.
    fn y_axis(&self, svg: &mut String, label: &str) {
        let ticks = ticks(self.y.0, self.y.1);
        for (tick, text) in ticks.iter().zip(numbers(&ticks)) {
            let y = self.py(*tick);
            let _ = write!(
                svg,
                "<path d=\"M{:.1} {y:.1}h{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                self.left,
                self.width,
                self.left - 6.0,
                y + 4.0
            );
        }
        let middle = self.top + self.height / 2.0;
        let _ = write!(
            svg,
            "<text x=\"14\" y=\"{middle:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {middle:.1})\">{}</text>",
            escape(label)
        );
    }

    fn x_label(&self, svg: &mut String, label: &str) {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            self.left + self.width / 2.0,
            self.top + self.height + 36.0,
            escape(label)
        );
    }

    fn border(&self, svg: &mut String) {
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"none\" stroke=\"#333\"/>",
            self.left, self.top, self.width, self.height
        );
    }
}

impl LineChart {
    /// Draws the chart. The legend makes it higher if it needs to. The styles of 35 lines differ; those of further
    /// lines repeat them.
    pub fn svg(&self) -> String {
        let longest = self.series.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
        let legend = 50.0 + 7.0 * longest as f64;
        let frame =
            Frame { left: 60.0, top: 34.0, width: 380.0, height: 380.0, x: self.x, y: self.y };
        let total = frame.left + frame.width + 16.0 + legend;
        let height = (frame.top + 12.0 + 20.0 * self.series.len() as f64).max(466.0);
        let mut svg = open(total, height, &self.title);
        let ticks = ticks(self.x.0, self.x.1);
        for (tick, text) in ticks.iter().zip(numbers(&ticks)) {
            let x = frame.px(*tick);
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {:.1}v{:.1}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                frame.top,
                frame.height,
                frame.top + frame.height + 18.0
            );
        }
        frame.y_axis(&mut svg, &self.y_label);
        frame.x_label(&mut svg, &self.x_label);
        if self.diagonal {
            let _ = write!(
                svg,
                "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#999\" stroke-dasharray=\"3 3\"/>",
                frame.left,
                frame.top + frame.height,
                frame.left + frame.width,
                frame.top
            );
        }
        for (k, series) in self.series.iter().enumerate() {
            let colour = COLOURS[k % COLOURS.len()];
            let dash = DASHES[k / COLOURS.len() % DASHES.len()];
            let _ = write!(
                svg,
                "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" stroke-dasharray=\"{dash}\" stroke-linejoin=\"round\"/>",
                path(&frame, &series.points)
            );
            let (x, y) = (frame.left + frame.width + 16.0, frame.top + 12.0 + 20.0 * k as f64);
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {y:.1}h24\" stroke=\"{colour}\" stroke-width=\"2.5\" stroke-dasharray=\"{dash}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 30.0,
                y + 4.0,
                escape(&series.name)
            );
        }
        frame.border(&mut svg);
        svg + "</svg>"
    }
}

/// One bar of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Name below the bar.
    pub name: String,
    /// Signed height.
    pub value: f64,
    /// Ends of the whisker, if the bar has one.
    pub interval: Option<[f64; 2]>,
}

/// Draws one bar for each name, up or down according to its value, with the value beside it.
pub fn bars_svg(title: &str, y_label: &str, values: &[(String, f64)]) -> String {
    let bar =
        |(name, value): &(String, f64)| Bar { name: name.clone(), value: *value, interval: None };
    bars_with_intervals_svg(title, y_label, &values.iter().map(bar).collect::<Vec<_>>())
}

/// Like [`bars_svg`], with a whisker over each bar that has an interval.
pub fn bars_with_intervals_svg(title: &str, y_label: &str, bars: &[Bar]) -> String {
    let ends = |bar: &Bar| {
        [Some(bar.value), bar.interval.map(|own| own[0]), bar.interval.map(|own| own[1])]
    };
    let finite = || bars.iter().flat_map(ends).flatten().filter(|v| v.is_finite());
    let (mut low, mut high) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
    if low == high {
        high = 1.0;
    }
    // A plus sign is informative only if there could be a minus.
    let signs = low < 0.0;
    let room = (high - low) * 0.12;
    low -= if low < 0.0 { room } else { 0.0 };
    high += room;
    let frame = columns(bars.len(), (low, high));
    let mut svg = open(frame.left + frame.width + 16.0, 400.0, title);
    frame.y_axis(&mut svg, y_label);
    let zero = frame.py(0.0);
    for (k, Bar { name, value, interval }) in bars.iter().enumerate() {
        let x = frame.px(k as f64 + 0.5);
        column_name(&mut svg, &frame, k, name);
        if !value.is_finite() {
            continue;
        }
        let y = frame.py(*value);
        let colour = if *value < 0.0 { AGAINST } else { FOR };
        // The number stands beyond the whisker.
        let [down, up] = interval.unwrap_or([*value; 2]).map(|end| frame.py(end));
        let text = if *value < 0.0 { y.max(down) + 13.0 } else { y.min(up) - 4.0 };
        let _ = write!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"30\" height=\"{:.1}\" fill=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{}</text>",
            x - 15.0,
            y.min(zero),
            (y - zero).abs(),
            text,
            if signs { signed(*value) } else { signed(*value).trim_start_matches('+').to_owned() }
        );
        if interval.is_some() {
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {down:.1}V{up:.1}m-5 0h10M{:.1} {down:.1}h10\" stroke=\"#000\" fill=\"none\"/>",
                x - 5.0
            );
        }
    }
    let _ = write!(
        svg,
        "<path d=\"M{:.1} {zero:.1}h{:.1}\" stroke=\"#333\"/>",
        frame.left, frame.width
    );
    frame.border(&mut svg);
    svg + "</svg>"
}

/// Draws a box plot for each name: quartiles, median, whiskers to the furthest value within 1.5 box heights,
/// and dots for values beyond.
pub fn boxes_svg(title: &str, y_label: &str, groups: &[(String, Vec<f64>)]) -> String {
    let finite = || groups.iter().flat_map(|g| &g.1).copied().filter(|v| v.is_finite());
    let (mut low, mut high) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
    if low == high {
        high = 1.0;
    }
    let room = (high - low) * 0.05;
    low -= if low < 0.0 { room } else { 0.0 };
    high += room;
    let frame = columns(groups.len(), (low, high));
    let mut svg = open(frame.left + frame.width + 16.0, 400.0, title);
    frame.y_axis(&mut svg, y_label);
    let _ = write!(
        svg,
        "<path d=\"M{:.1} {:.1}h{:.1}\" stroke=\"#333\"/>",
        frame.left,
        frame.py(0.0),
        frame.width
    );
    for (k, (name, values)) in groups.iter().enumerate() {
        column_name(&mut svg, &frame, k, name);
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        if sorted.is_empty() {
            continue;
        }
        sorted.sort_by(f64::total_cmp);
        let [q1, median, q3] = [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share));
        let reach = 1.5 * (q3 - q1);
        let within = || sorted.iter().copied().filter(|v| (q1 - reach..=q3 + reach).contains(v));
        let (bottom, top) = (within().fold(q1, f64::min), within().fold(q3, f64::max));
        let x = frame.px(k as f64 + 0.5);
        let _ = write!(
            svg,
            "<path d=\"M{x:.1} {:.1}V{:.1}M{x:.1} {:.1}V{:.1}\" stroke=\"#333\"/>\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"30\" height=\"{:.1}\" fill=\"{}\" fill-opacity=\".55\" stroke=\"#333\"/>\
             <path d=\"M{:.1} {:.1}h30\" stroke=\"#000\" stroke-width=\"2\"/>",
            frame.py(q3),
            frame.py(top),
            frame.py(q1),
            frame.py(bottom),
            x - 15.0,
            frame.py(q3),
            (frame.py(q1) - frame.py(q3)).max(0.5),
            COLOURS[2],
            x - 15.0,
            frame.py(median)
        );
        for beyond in sorted.iter().filter(|v| **v < bottom || **v > top) {
            let _ = write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"none\" stroke=\"#333\"/>",
                frame.py(*beyond)
            );
        }
    }
    frame.border(&mut svg);
    svg + "</svg>"
}

/// Returns a quantile of sorted values, by linear interpolation. The slice must not be empty.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - below as f64) * (sorted[above] - sorted[below])
}

fn columns(n: usize, y: (f64, f64)) -> Frame {
    let width = (52.0 * n.max(1) as f64).max(260.0);
    Frame { left: 74.0, top: 34.0, width, height: 320.0, x: (0.0, n.max(1) as f64), y }
}

fn column_name(svg: &mut String, frame: &Frame, column: usize, name: &str) {
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        frame.px(column as f64 + 0.5),
        frame.top + frame.height + 20.0,
        escape(name)
    );
}

pub(crate) fn open(width: f64, height: f64, title: &str) -> String {
    let title = escape(title);
    // A long title must not be cut off.
    let width = width.max(40.0 + 8.5 * title.chars().count() as f64);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"13\" role=\"img\"><title>{title}</title>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"20\" y=\"20\" font-size=\"15\" font-weight=\"bold\">{title}</text>"
    )
}

/// Returns the path of a line through points, with gaps where `y` is not finite. Numbers get so many `decimals`.
pub fn polyline(points: impl IntoIterator<Item = (f64, f64)>, decimals: usize) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (x, y) in points {
        if y.is_finite() {
            let command = if pen_down { 'L' } else { 'M' };
            let _ = write!(path, "{command}{x:.decimals$} {y:.decimals$}");
        }
        pen_down = y.is_finite();
    }
    path
}

/// Joins the points; those too close to the one before to be told apart are left out.
fn path(frame: &Frame, points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut last: Option<(f64, f64)> = None;
    for (k, &(x, y)) in points.iter().enumerate() {
        if !(x.is_finite() && y.is_finite()) {
            last = None;
            continue;
        }
        let (px, py) = (frame.px(x), frame.py(y));
        let near = last.is_some_and(|(x, y)| (px - x).abs() < 0.3 && (py - y).abs() < 0.3);
        if near && k + 1 < points.len() {
            continue;
        }
        let _ = write!(path, "{}{px:.1} {py:.1}", if last.is_some() { 'L' } else { 'M' });
        last = Some((px, py));
    }
    path
}

/// Three to eight round numbers within a range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return Vec::new();
    }
    let power = 10f64.powf((span / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| span / step <= 7.5)
        .unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Formats the numbers of an axis, with powers of ten if the steps between them are below 1e-3.
fn numbers(ticks: &[f64]) -> Vec<String> {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    let without_zeros = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    // As many digits as tell a number from the next one. The steps are 1, 2 or 5 times a power of ten.
    let power = |value: f64| (value.abs().log10() + 1e-9).floor();
    let number = |value: &f64| {
        if value.abs() < step / 2.0 {
            return "0".to_owned();
        }
        if step >= 0.999e-3 {
            return without_zeros(&format!("{value:.6}"));
        }
        let digits = (power(*value) - power(step)).max(0.0) as usize + 1;
        let text = format!("{value:.digits$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        format!("{}e{exponent}", without_zeros(mantissa))
    };
    ticks.iter().map(number).collect()
}

/// Formats a value with its sign and at least two significant digits; zero has no sign.
pub fn signed(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => return "0".to_owned(),
        size if size < 1e-3 => return format!("{value:+.1e}"),
        size if size < 1e-2 => 4,
        size if size < 0.1 => 3,
        size if size < 10.0 => 2,
        _ => 1,
    };
    format!("{value:+.digits$}")
}

/// Formats a value for a title: three decimals, or as [`signed`] without a plus sign if these are too few.
pub fn plain(value: f64) -> String {
    if value.abs() >= 1e-2 {
        return format!("{value:.3}");
    }
    signed(value).trim_start_matches('+').to_owned()
}

/// Escapes text for use within SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 1.0), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert!(ticks(1.0, 1.0).is_empty());
    }

    #[test]
    fn numbers_of_an_axis_differ_at_any_scale() {
        let texts = |low, high| numbers(&ticks(low, high));
        assert_eq!(texts(-0.03, 0.11), ["-0.02", "0", "0.02", "0.04", "0.06", "0.08", "0.1"]);
        assert_eq!(texts(0.0, 0.005), ["0", "0.001", "0.002", "0.003", "0.004", "0.005"]);
        assert_eq!(texts(-1e-6, 1.2e-6), ["-1e-6", "-5e-7", "0", "5e-7", "1e-6"]);
        assert_eq!(texts(0.0, 1.25e-6), ["0", "2e-7", "4e-7", "6e-7", "8e-7", "1e-6", "1.2e-6"]);
        let far = ["5e-1", "5.0002e-1", "5.0004e-1", "5.0006e-1", "5.0008e-1", "5.001e-1"];
        assert_eq!(texts(0.5, 0.5001), far);
        assert_eq!(numbers(&[]), [""; 0]);
    }

    #[test]
    fn small_values_keep_two_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.000_69, "+6.9e-4"),
            (-0.000_76, "-7.6e-4"),
            (0.005, "+0.0050"),
            (-0.0123, "-0.012"),
            (0.5, "+0.50"),
            (-12.34, "-12.3"),
        ] {
            assert_eq!(signed(value), text);
        }
        let texts = [0.998, 0.000_69, -2.5, 0.0].map(plain);
        assert_eq!(texts, ["0.998", "6.9e-4", "-2.500", "0"]);
    }

    #[test]
    fn charts_hold_their_names_and_no_nan() {
        let chart = LineChart {
            title: "ROC <all>".into(),
            x_label: "x".into(),
            y_label: "y".into(),
            x: (0.0, 1.0),
            y: (0.0, 1.0),
            diagonal: true,
            series: vec![Series {
                name: "AF & co".into(),
                points: vec![(0.0, 0.0), (f64::NAN, 0.5), (0.5, 0.5), (1.0, 1.0)],
            }],
        };
        let svg = chart.svg();
        assert!(svg.contains("ROC &lt;all&gt;") && svg.contains("AF &amp; co"));
        assert!(!svg.contains("NaN") && svg.ends_with("</svg>"));
        let bars =
            bars_svg("t", "y", &[("I".into(), -0.25), ("II".into(), f64::NAN), ("V1".into(), 1.5)]);
        assert!(bars.contains(FOR) && bars.contains(AGAINST) && bars.contains("-0.25"));
        assert!(!bars.contains("NaN"));
        let whisker = Bar { name: "I".into(), value: 1.0, interval: Some([0.5, 2.0]) };
        let whiskers = bars_with_intervals_svg("t", "y", &[whisker]);
        assert!(whiskers.contains("h10M") && !bars.contains("h10M"));
        let boxes =
            boxes_svg("t", "y", &[("I".into(), vec![]), ("II".into(), vec![1.0, 2.0, 3.0, 90.0])]);
        assert!(boxes.contains("<circle") && !boxes.contains("NaN"));
        assert!(!bars_svg("t", "y", &[]).contains("NaN"));
    }

    #[test]
    fn every_line_has_its_place_in_the_legend_and_its_own_style() {
        for count in [1, 24, 40] {
            let line = |k: usize| Series { name: format!("label {k}"), points: Vec::new() };
            let svg = LineChart {
                title: "ROC".into(),
                x_label: "x".into(),
                y_label: "y".into(),
                x: (0.0, 1.0),
                y: (0.0, 1.0),
                diagonal: true,
                series: (0..count).map(line).collect(),
            }
            .svg();
            let view = svg.split("viewBox=\"").nth(1).and_then(|rest| rest.split('"').next());
            let height = view.and_then(|view| view.rsplit(' ').next()).map(str::parse::<f64>);
            let height = height.expect("a size").expect("a number");
            let mut styles = std::collections::BTreeSet::new();
            for entry in svg.split("h24\" ").skip(1) {
                let (style, rest) = entry.split_once("/>").expect("a closed tag");
                styles.insert(style);
                let y = rest.split(" y=\"").nth(1).and_then(|rest| rest.split('"').next());
                let y: f64 = y.expect("a place").parse().expect("a number");
                assert!(y < height, "{count} lines: {y} of {height}");
            }
            assert_eq!(svg.matches(">label ").count(), count);
            assert_eq!(styles.len(), count.min(35));
            assert_eq!(height > 466.0, count > 21);
        }
    }

    #[test]
    fn a_line_has_gaps() {
        let points = [(0.0, 1.0), (1.0, 2.24), (2.0, f64::NAN), (3.0, 4.0), (4.0, f64::INFINITY)];
        assert_eq!(polyline(points, 1), "M0.0 1.0L1.0 2.2M3.0 4.0");
        assert_eq!(polyline([], 1), "");
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.25), 1.5);
        assert_eq!(quantile(&[3.0], 0.9), 3.0);
    }

    #[test]
    fn points_too_near_to_see_are_dropped() {
        let frame = Frame {
            left: 0.0,
            top: 0.0,
            width: 100.0,
            height: 100.0,
            x: (0.0, 1.0),
            y: (0.0, 1.0),
        };
        let many: Vec<(f64, f64)> = (0..=100_000).map(|k| (k as f64 / 1e5, 0.5)).collect();
        let path = path(&frame, &many);
        assert!(path.matches('L').count() < 400 && path.ends_with("L100.0 50.0"));
    }
}
