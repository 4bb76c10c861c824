//! A diagram of a network: its layers from top to bottom, with the shapes of their outputs.

use std::fmt::Write;

use ecg3d_examples::chart::escape;
use ecg3d_models::{LayerKind, LayerSummary, Summary, grouped};

use crate::layout::{Chain, chains, layout};

const WIDTH: f64 = 236.0;
const GAP: f64 = 22.0;
const ROW_GAP: f64 = 30.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 62.0;
/// Heights of a layer with parameters and of one without.
const TALL: f64 = 32.0;
const LOW: f64 = 17.0;

/// Draws the diagram as SVG.
pub fn svg(summary: &Summary) -> String {
    let chains = chains(summary);
    let layout = layout(&chains, WIDTH, GAP);
    let last = chains.len() - 1;
    let heights: Vec<f64> = (0..chains.len())
        .map(|k| {
            let rows = chains[k].layers.iter().map(|layer| height(&summary.layers[*layer]));
            // The sigmoid stands below the last layer.
            rows.sum::<f64>() + if k == last { LOW } else { 0.0 }
        })
        .collect();
    let rows = layout.places.iter().map(|place| place.0 + 1).max().unwrap_or(0);
    let mut tops = vec![TOP];
    for row in 0..rows {
        let own = layout.places.iter().zip(&heights).filter(|(place, _)| place.0 == row);
        let tallest = own.map(|(_, height)| *height).fold(0.0, f64::max);
        tops.push(tops[row] + tallest + ROW_GAP);
    }
    let total_height = tops[rows] - ROW_GAP + MARGIN;
    let middles = layout.places.iter().map(|place| place.1 + WIDTH / 2.0);
    let passing = layout.lines.iter().flat_map(|line| line.1.iter().map(|x| x + GAP / 2.0));
    let total_width = 2.0 * MARGIN + middles.chain(passing).fold(520.0, f64::max);

    let title = format!("{} ({})", summary.architecture, summary.mode);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total_width:.0} {total_height:.0}\" \
         width=\"{total_width:.0}\" height=\"{total_height:.0}\" font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\
         <title>{title}</title><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\
         <text x=\"{MARGIN}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{title}</text>\
         <text x=\"{MARGIN}\" y=\"44\" fill=\"#444\">{} parameters, {} of them trained; {:.4} billion multiply-adds a window; shapes have the channels last</text>\n",
        grouped(summary.parameters as u64),
        grouped(summary.trainable as u64),
        summary.macs as f64 / 1e9,
    );
    for (from, through, to) in &layout.lines {
        let bottom = |k: usize| tops[layout.places[k].0] + heights[k];
        let (row, x) = layout.places[*from];
        let (mut x, mut y) = (x + MARGIN, bottom(*from));
        let _ = write!(svg, "<path d=\"M{x:.1} {y:.1}");
        let mut bend = |to_x: f64, to_y: f64| {
            let half = (y + to_y) / 2.0;
            let _ = write!(svg, "C{x:.1} {half:.1} {to_x:.1} {half:.1} {to_x:.1} {to_y:.1}");
            (x, y) = (to_x, to_y);
        };
        for (k, passing) in through.iter().enumerate() {
            let row = row + 1 + k;
            bend(passing + MARGIN, tops[row]);
            bend(passing + MARGIN, tops[row + 1] - ROW_GAP);
        }
        let (row, x) = layout.places[*to];
        bend(x + MARGIN, tops[row] - 5.0);
        let (x, y) = (x + MARGIN, tops[row]);
        let _ = writeln!(
            svg,
            "\" fill=\"none\" stroke=\"#555\"/><path d=\"M{:.1} {:.1}L{x:.1} {y:.1}L{:.1} {:.1}Z\" fill=\"#555\"/>",
            x - 3.5,
            y - 7.0,
            x + 3.5,
            y - 7.0
        );
    }
    for (k, chain) in chains.iter().enumerate() {
        let (row, middle) = layout.places[k];
        let corner = (middle + MARGIN - WIDTH / 2.0, tops[row]);
        draw(&mut svg, summary, chain, corner, heights[k], k == last);
    }
    svg + "</svg>\n"
}

fn height(layer: &LayerSummary) -> f64 {
    if layer.parameters > 0 { TALL } else { LOW }
}

fn draw(
    svg: &mut String,
    summary: &Summary,
    chain: &Chain,
    (left, top): (f64, f64),
    height_of_all: f64,
    last: bool,
) {
    let (text, right) = (left + 8.0, left + WIDTH - 8.0);
    let mut y = top;
    let mut shape: &[usize] = &[];
    for &k in &chain.layers {
        let layer = &summary.layers[k];
        let height = height(layer);
        let _ = write!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{height}\" fill=\"{}\"/>",
            colour(layer.kind)
        );
        let what = format!("{} {}", layer.kind, layer.detail);
        let what = escape(what.trim_end());
        let shown =
            if layer.output_shape == shape { String::new() } else { joined(&layer.output_shape) };
        if layer.parameters > 0 {
            let _ = write!(
                svg,
                "<text x=\"{text:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\
                 <text x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>\
                 <text x=\"{text:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"#333\">{what}</text>\
                 <text x=\"{right:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"#333\" text-anchor=\"end\">{}</text>",
                y + 13.0,
                escape(&layer.name),
                y + 13.0,
                y + 26.0,
                y + 26.0,
                grouped(layer.parameters as u64)
            );
        } else {
            let _ = write!(
                svg,
                "<text x=\"{text:.1}\" y=\"{:.1}\">{what}</text>\
                 <text x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{shown}</text>",
                y + 12.5,
                y + 12.5
            );
        }
        shape = &layer.output_shape;
        y += height;
    }
    if last {
        let _ = write!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{LOW}\" fill=\"#fff\"/>\
             <text x=\"{text:.1}\" y=\"{:.1}\">Sigmoid, to probabilities</text>",
            y + 12.5
        );
    }
    let _ = writeln!(
        svg,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{height_of_all}\" rx=\"2\" fill=\"none\" stroke=\"#333\"/>"
    );
}

/// Light tints of Okabe and Ito's colours. The text carries the same information.
fn colour(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::ConvLstm2d => "#f3dbe9",
        LayerKind::Conv1d | LayerKind::Conv3d => "#cfe4f3",
        LayerKind::Dense => "#fae3bd",
        LayerKind::BatchNorm => "#d0ece3",
        LayerKind::MaxPool | LayerKind::GlobalAverage | LayerKind::GlobalMax => "#fbfad0",
        LayerKind::Input => "#e4e4e4",
        _ => "#ffffff",
    }
}

fn joined(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("\u{d7}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg3d_models::{Architecture, Network, Preset};
    use tch::Device;

    #[test]
    fn every_layer_is_drawn_and_no_boxes_overlap() {
        for architecture in Architecture::ALL {
            let network = Network::new(architecture, Preset::Corrected, 7, Device::Cpu, 1);
            let summary = network.expect("builds").summary().expect("runs");
            let svg = svg(&summary);
            assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"));
            for layer in summary.layers.iter().filter(|layer| layer.parameters > 0) {
                assert!(svg.contains(&format!(">{}</text>", layer.name)), "{}", layer.name);
            }
            let chains = chains(&summary);
            let drawn: usize = chains.iter().map(|chain| chain.layers.len()).sum();
            assert_eq!(drawn, summary.layers.len());
            let places = layout(&chains, WIDTH, GAP).places;
            for (k, (row, x)) in places.iter().enumerate() {
                for (other_row, other) in &places[..k] {
                    let apart = (x - other).abs() >= WIDTH + GAP - 1e-6;
                    assert!(row != other_row || apart, "{architecture}: {x} and {other}");
                }
            }
        }
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(["7", "270,416", "7,000,383"], [7, 270_416, 7_000_383].map(grouped));
    }
}
