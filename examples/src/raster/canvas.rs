//! Pixels, and shapes drawn on them with smooth edges.

use ab_glyph::{Font, FontRef, OutlineCurve};
use ab_glyph_rasterizer::{Point, Rasterizer, point};
use anyhow::{Context, Result};

use crate::heat::encode;

/// Red, green and blue, each from 0 to 1.
type Colour = [f32; 3];

pub(super) struct Canvas {
    width: usize,
    height: usize,
    /// Pixels per user unit.
    unit: f64,
    pixels: Vec<Colour>,
}

/// A piece of an outline, in pixels.
enum Piece {
    Line(Point, Point),
    Quad(Point, Point, Point),
    Cubic(Point, Point, Point, Point),
}

impl Canvas {
    /// Makes a white page.
    pub(super) fn new(width: usize, height: usize, unit: f64) -> Self {
        Self { width, height, unit, pixels: vec![[1.0; 3]; width * height] }
    }

    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let bytes: Vec<u8> =
            self.pixels.iter().flatten().map(|share| (share * 255.0).round() as u8).collect();
        Ok(encode(&bytes, self.width, self.height)?)
    }

    /// Fills a closed polygon, given in user units.
    pub(super) fn fill(&mut self, corners: &[[f64; 2]], colour: [u8; 3], opacity: f64) {
        let mut pieces = Vec::new();
        self.polygon(corners, &mut pieces);
        self.paint(&pieces, colour, opacity);
    }

    /// Draws lines of the given width, in user units, with round joins.
    pub(super) fn stroke(
        &mut self,
        lines: &[Vec<[f64; 2]>],
        width: f64,
        colour: [u8; 3],
        opacity: f64,
    ) {
        let half = width / 2.0;
        let mut pieces = Vec::new();
        for line in lines {
            for ends in line.windows(2) {
                let ([x, y], [to_x, to_y]) = (ends[0], ends[1]);
                let length = (to_x - x).hypot(to_y - y);
                if length > 0.0 {
                    let (dx, dy) = ((to_x - x) / length * half, (to_y - y) / length * half);
                    let corners = [
                        [x - dy, y + dx],
                        [x + dy, y - dx],
                        [to_x + dy, to_y - dx],
                        [to_x - dy, to_y + dx],
                    ];
                    self.polygon(&corners, &mut pieces);
                }
            }
            // The joins of a thin line cannot be seen.
            if width * self.unit > 1.5 && line.len() > 2 {
                for [x, y] in &line[1..line.len() - 1] {
                    let corner = |k: u32| {
                        let (sin, cos) = (f64::from(k) * std::f64::consts::TAU / 8.0).sin_cos();
                        [x + half * cos, y + half * sin]
                    };
                    self.polygon(&[0, 1, 2, 3, 4, 5, 6, 7].map(corner), &mut pieces);
                }
            }
        }
        self.paint(&pieces, colour, opacity);
    }

    /// Draws one line of text. `anchor` is the share of its width that lies to the left of its position.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn text(
        &mut self,
        text: &str,
        [x, y]: [f64; 2],
        size: f64,
        anchor: f64,
        (degrees, centre): (f64, [f64; 2]),
        bold: bool,
        colour: [u8; 3],
    ) -> Result<()> {
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT)
            .context("cannot read the built-in font")?;
        let em = size / f64::from(font.units_per_em().context("cannot read the built-in font")?);
        let ids: Vec<_> = text.chars().map(|c| font.glyph_id(c)).collect();
        let advance = |id| f64::from(font.h_advance_unscaled(id)) * em;
        let mut pen = x - anchor * ids.iter().map(|id| advance(*id)).sum::<f64>();
        let (sin, cos) = degrees.to_radians().sin_cos();
        let unit = self.unit;
        let mut pieces = Vec::new();
        for id in ids {
            // A bold letter is drawn twice, slightly shifted.
            for shift in if bold { &[0.0, 0.035][..] } else { &[0.0][..] } {
                let at = |p: Point| {
                    let px = pen + shift * size + f64::from(p.x) * em - centre[0];
                    let py = y - f64::from(p.y) * em - centre[1];
                    let turned = [px * cos - py * sin, px * sin + py * cos];
                    point(
                        ((turned[0] + centre[0]) * unit) as f32,
                        ((turned[1] + centre[1]) * unit) as f32,
                    )
                };
                let curves = font.outline(id).map_or(Vec::new(), |outline| outline.curves);
                pieces.extend(curves.into_iter().map(|curve| match curve {
                    OutlineCurve::Line(a, b) => Piece::Line(at(a), at(b)),
                    OutlineCurve::Quad(a, b, c) => Piece::Quad(at(a), at(b), at(c)),
                    OutlineCurve::Cubic(a, b, c, d) => Piece::Cubic(at(a), at(b), at(c), at(d)),
                }));
            }
            pen += advance(id);
        }
        self.paint(&pieces, colour, 1.0);
        Ok(())
    }

    /// Adds the outline of a polygon, always in the same direction, so that overlapping polygons add up instead
    /// of cancelling.
    fn polygon(&self, corners: &[[f64; 2]], pieces: &mut Vec<Piece>) {
        let next = |k: usize| corners[(k + 1) % corners.len()];
        let cross = |k: usize| corners[k][0] * next(k)[1] - next(k)[0] * corners[k][1];
        let area: f64 = (0..corners.len()).map(cross).sum();
        let pixel = |[x, y]: [f64; 2]| point((x * self.unit) as f32, (y * self.unit) as f32);
        pieces.extend((0..corners.len()).map(|k| match area >= 0.0 {
            true => Piece::Line(pixel(corners[k]), pixel(next(k))),
            false => Piece::Line(pixel(next(k)), pixel(corners[k])),
        }));
    }

    /// Paints the area that the pieces enclose.
    fn paint(&mut self, pieces: &[Piece], colour: [u8; 3], opacity: f64) {
        let points = || {
            pieces.iter().flat_map(|piece| match piece {
                Piece::Line(a, b) => vec![*a, *b],
                Piece::Quad(a, b, c) => vec![*a, *b, *c],
                Piece::Cubic(a, b, c, d) => vec![*a, *b, *c, *d],
            })
        };
        let finite = points().all(|p| p.x.is_finite() && p.y.is_finite());
        let low = points().fold([f32::MAX; 2], |low, p| [low[0].min(p.x), low[1].min(p.y)]);
        let high = points().fold([f32::MIN; 2], |high, p| [high[0].max(p.x), high[1].max(p.y)]);
        let (left, top) = (low[0].floor(), low[1].floor());
        let (width, height) = (high[0] - left + 2.0, high[1] - top + 2.0);
        // Nothing to draw, or something far beyond the page.
        let most = 4.0 * self.width.max(self.height) as f32 + 16.0;
        if !(finite && width > 0.0 && height > 0.0 && width <= most && height <= most) {
            return;
        }
        let mut shape = Rasterizer::new(width as usize + 1, height as usize + 1);
        let moved = |p: &Point| point(p.x - left, p.y - top);
        for piece in pieces {
            match piece {
                Piece::Line(a, b) => shape.draw_line(moved(a), moved(b)),
                Piece::Quad(a, b, c) => shape.draw_quad(moved(a), moved(b), moved(c)),
                Piece::Cubic(a, b, c, d) => {
                    shape.draw_cubic(moved(a), moved(b), moved(c), moved(d));
                }
            }
        }
        let colour = colour.map(|byte| f32::from(byte) / 255.0);
        let (page_width, page_height) = (self.width as i64, self.height as i64);
        let pixels = &mut self.pixels;
        shape.for_each_pixel_2d(|x, y, covered| {
            let (x, y) = (i64::from(x) + left as i64, i64::from(y) + top as i64);
            if covered <= 0.0 || x < 0 || y < 0 || x >= page_width || y >= page_height {
                return;
            }
            let share = covered.min(1.0) * opacity as f32;
            let pixel = &mut pixels[(y * page_width + x) as usize];
            for (own, new) in pixel.iter_mut().zip(colour) {
                *own += share * (new - *own);
            }
        });
    }
}
