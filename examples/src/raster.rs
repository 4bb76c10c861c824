//! Draws the pictures of this crate as pixels. Only the part of SVG that they use is supported; anything else
//! is an error.
//!
//! This is the elements `rect`, `circle`, `path` (straight lines, stroked), `text` (one line) and `title`, with
//! their presentation attributes. Lengths are in user units, those of the whole picture in pixels or
//! millimetres. Text is set in one built-in font, so that a picture looks the same on every machine.

mod canvas;
mod elements;

use anyhow::{Context, Result, bail, ensure};

use canvas::Canvas;
use elements::{Element, elements};

/// Pixels per CSS pixel (a 96th of an inch): sharp enough to print.
const SCALE: f64 = 2.0;
/// No picture of this crate is larger; one that claims to be is a mistake.
const MOST_PIXELS: f64 = 1e8;

/// Draws a picture as PNG, on white.
///
/// # Errors
/// Returns an error if the text is not SVG of the kind that this crate writes, or if the picture has no area.
pub fn png(svg: &str) -> Result<Vec<u8>> {
    let mut elements = elements(svg)?.into_iter();
    let page = elements.next().filter(|own| own.name == "svg").context("no svg element")?;
    let view: Vec<f64> = page
        .text("viewBox")
        .context("no viewBox")?
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let &[0.0, 0.0, width, height] = view.as_slice() else {
        bail!("viewBox {view:?} does not start at 0, 0")
    };
    let unit = match page.text("width").context("no width")?.strip_suffix("mm") {
        Some(mm) => mm.parse::<f64>()? * 96.0 / 25.4 / width,
        None => page.number("width", 0.0)? / width,
    } * SCALE;
    let (columns, rows) = ((width * unit).ceil(), (height * unit).ceil());
    ensure!(
        columns >= 1.0 && rows >= 1.0 && columns * rows <= MOST_PIXELS,
        "invalid size of {columns} x {rows} pixels"
    );
    let mut canvas = Canvas::new(columns as usize, rows as usize, unit);
    let font_size = page.number("font-size", 16.0)?;
    for element in elements {
        draw(&mut canvas, &element, [width, height], font_size)?;
    }
    canvas.png()
}

fn draw(canvas: &mut Canvas, own: &Element<'_>, page: [f64; 2], font_size: f64) -> Result<()> {
    let opacity = own.number("opacity", 1.0)?;
    let stroke = own.colour("stroke", None)?;
    let stroke_width = own.number("stroke-width", 1.0)?;
    match own.name {
        "title" => {}
        "rect" => {
            let [x, y] = [own.number("x", 0.0)?, own.number("y", 0.0)?];
            let [width, height] = [own.length("width", page[0])?, own.length("height", page[1])?];
            let corners =
                [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]];
            if let Some(fill) = own.colour("fill", Some([0; 3]))? {
                canvas.fill(&corners, fill, opacity * own.number("fill-opacity", 1.0)?);
            }
            if let Some(stroke) = stroke {
                canvas.stroke(&[corners.to_vec()], stroke_width, stroke, opacity);
            }
        }
        "circle" => {
            let [x, y, r] = [own.number("cx", 0.0)?, own.number("cy", 0.0)?, own.number("r", 0.0)?];
            let points: Vec<[f64; 2]> = (0..=32)
                .map(|k| (f64::from(k) * std::f64::consts::TAU / 32.0).sin_cos())
                .map(|(sin, cos)| [x + r * cos, y + r * sin])
                .collect();
            if let Some(fill) = own.colour("fill", Some([0; 3]))? {
                canvas.fill(&points, fill, opacity);
            }
            if let Some(stroke) = stroke {
                canvas.stroke(&[points], stroke_width, stroke, opacity);
            }
        }
        "path" => {
            let lines = own.lines()?;
            if let Some(stroke) = stroke {
                let dashed = dashed(lines, &own.dashes()?);
                canvas.stroke(&dashed, stroke_width, stroke, opacity);
            }
        }
        "text" => {
            let size = own.number("font-size", font_size)?;
            let place = [own.number("x", 0.0)?, own.number("y", 0.0)?];
            let anchor = match own.text("text-anchor") {
                Some("middle") => 0.5,
                Some("end") => 1.0,
                _ => 0.0,
            };
            let bold = own.text("font-weight") == Some("bold");
            let fill = own.colour("fill", Some([0; 3]))?.unwrap_or([0; 3]);
            canvas.text(&own.content(), place, size, anchor, own.rotation()?, bold, fill)?;
        }
        other => bail!("unsupported element {other}"),
    }
    Ok(())
}

/// Cuts lines into dashes of these lengths, drawn and left out in turn. Without dashes, the lines stay whole.
fn dashed(lines: Vec<Vec<[f64; 2]>>, dashes: &[f64]) -> Vec<Vec<[f64; 2]>> {
    if dashes.is_empty() || dashes.iter().sum::<f64>() <= 0.0 {
        return lines;
    }
    let mut out = Vec::new();
    for line in lines {
        let (mut turn, mut left) = (0, dashes[0]);
        let mut dash: Vec<[f64; 2]> = line.first().copied().into_iter().collect();
        for ends in line.windows(2) {
            let ([mut x, mut y], [to_x, to_y]) = (ends[0], ends[1]);
            loop {
                let rest = (to_x - x).hypot(to_y - y);
                if rest <= left {
                    left -= rest;
                    dash.push([to_x, to_y]);
                    break;
                }
                (x, y) = (x + (to_x - x) * left / rest, y + (to_y - y) * left / rest);
                dash.push([x, y]);
                if turn % 2 == 0 {
                    out.push(std::mem::take(&mut dash));
                }
                dash = vec![[x, y]];
                turn += 1;
                left = dashes[turn % dashes.len()];
            }
        }
        if turn % 2 == 0 {
            out.push(dash);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Bar, bars_with_intervals_svg, boxes_svg};
    use crate::matrix::matrix_svg;

    /// Pixels `[row][column]` of a picture.
    fn pixels(svg: &str) -> Vec<Vec<[u8; 3]>> {
        let file = png(svg).expect("draws");
        let mut reader =
            ::png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG header");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        let rows = pixels.chunks_exact(3 * info.width as usize);
        rows.map(|row| row.chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()).collect()
    }

    fn page(inside: &str) -> Vec<Vec<[u8; 3]>> {
        let head = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 20 10\" width=\"20\" height=\"10\">";
        pixels(&format!("{head}<title>t</title>{inside}</svg>"))
    }

    const WHITE: [u8; 3] = [255; 3];

    #[test]
    fn rectangles_are_where_they_are() {
        let drawn = page("<rect x=\"5\" y=\"2\" width=\"10\" height=\"4\" fill=\"#0072b2\"/>");
        assert_eq!((drawn.len(), drawn[0].len()), (20, 40));
        for (y, row) in drawn.iter().enumerate() {
            for (x, pixel) in row.iter().enumerate() {
                let inside = (10..30).contains(&x) && (4..12).contains(&y);
                assert_eq!(*pixel, if inside { [0, 0x72, 0xb2] } else { WHITE }, "{x} {y}");
            }
        }
        let half = page("<rect width=\"100%\" height=\"100%\" fill=\"#000\" opacity=\".5\"/>");
        assert!(half.iter().flatten().all(|pixel| pixel[0].abs_diff(128) <= 1));
    }

    #[test]
    fn lines_have_their_width_and_their_dashes() {
        let drawn = page(
            "<path d=\"M2 5h6v-3M12 5l4 0\" stroke=\"#000\" stroke-width=\"1\" fill=\"none\"/>",
        );
        // Half a unit on either side, two pixels per unit.
        assert_eq!(
            (drawn[8][8], drawn[9][8], drawn[10][8], drawn[11][8]),
            (WHITE, [0; 3], [0; 3], WHITE)
        );
        assert_eq!((drawn[6][16], drawn[10][20], drawn[10][28]), ([0; 3], WHITE, [0; 3]));
        let dashed = page("<path d=\"M2 5H18\" stroke=\"#000\" stroke-dasharray=\"4 2\"/>");
        let black: Vec<bool> = (0..40).map(|x| dashed[10][x] == [0; 3]).collect();
        let expected: Vec<bool> =
            (0..40).map(|x| (4..36).contains(&x) && (x - 4) % 12 < 8).collect();
        assert_eq!(black, expected);
    }

    #[test]
    fn text_stands_at_its_anchor() {
        let columns = |inside: &str| -> Vec<usize> {
            let drawn = page(inside);
            (0..40).filter(|x| drawn.iter().any(|row| row[*x][0] < 200)).collect()
        };
        let start = columns("<text x=\"10\" y=\"8\" font-size=\"8\">H</text>");
        let end = columns("<text x=\"10\" y=\"8\" font-size=\"8\" text-anchor=\"end\">H</text>");
        assert!(!start.is_empty() && start.iter().all(|x| *x >= 20), "{start:?}");
        assert!(!end.is_empty() && end.iter().all(|x| *x < 20), "{end:?}");
        let amp = columns("<text x=\"10\" y=\"8\" font-size=\"8\">&amp;</text>");
        assert_eq!(amp, columns("<text x=\"10\" y=\"8\" font-size=\"8\">&#38;</text>"));
        // Turned a quarter to the left, the letter stands above its position instead of to the right of it.
        let turned = columns(
            "<text x=\"10\" y=\"8\" font-size=\"8\" transform=\"rotate(-90 10 8)\">H</text>",
        );
        assert!(!turned.is_empty() && turned.iter().all(|x| *x < 20), "{turned:?}");
    }

    #[test]
    fn every_chart_can_be_drawn() {
        let bar = Bar { name: "V1".into(), value: -1.0, interval: Some([-2.0, 0.5]) };
        let names = ["I".to_owned(), "II".to_owned()];
        let cells = [vec![None, Some(0.5)], vec![Some(-0.25), None]];
        for svg in [
            bars_with_intervals_svg("bars & more", "y", &[bar]),
            boxes_svg("boxes", "y", &[("I".into(), vec![0.0, 1.0, 2.0, 30.0])]),
            matrix_svg("pairs", &names, &names, &cells),
        ] {
            let drawn = pixels(&svg);
            let orange = drawn.iter().flatten().any(|p| p[0] > 200 && p[1] < 120 && p[2] < 60);
            assert_eq!(orange, svg.contains(crate::chart::AGAINST), "{}", &svg[..200]);
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for bad in ["no svg", "<svg>", "<svg viewBox=\"0 0 5 5\" width=\"5\"><image/></svg>"] {
            assert!(png(bad).is_err(), "{bad}");
        }
        let huge = "<svg viewBox=\"0 0 5 5\" width=\"900000\" height=\"900000\"></svg>";
        assert!(png(huge).is_err());
    }
}
