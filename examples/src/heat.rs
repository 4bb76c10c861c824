//! Matrices as small PNG pictures, and volumes as blocks of such pictures. The colours grow evenly lighter, so that
//! they work with any colour vision and in grey.

use std::fmt::Write;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ndarray::{ArrayView2, ArrayView3, s};

/// Nine points of the viridis colour map (van der Walt and Smith, CC0), from dark to light, interpolated
/// linearly.
const COLOURS: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 45.0, 123.0],
    [59.0, 82.0, 139.0],
    [44.0, 114.0, 142.0],
    [33.0, 145.0, 140.0],
    [40.0, 174.0, 128.0],
    [94.0, 201.0, 98.0],
    [173.0, 220.0, 48.0],
    [253.0, 231.0, 37.0],
];

/// Returns the colour of `share`, from 0 (dark) to 1 (light). Values outside are clamped, and NaN is dark.
fn colour(share: f64) -> [u8; 3] {
    let position = share.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let k = (position as usize).min(COLOURS.len() - 2);
    let between = if position.is_nan() { 0.0 } else { position - k as f64 };
    std::array::from_fn(|c| {
        (COLOURS[k][c] + between * (COLOURS[k + 1][c] - COLOURS[k][c])).round() as u8
    })
}

/// Draws `[row, column]` as PNG, one pixel per value, with row 0 on top, `low` dark and `high` light.
///
/// # Errors
/// Returns an error if the matrix is empty.
pub fn png(
    values: ArrayView2<'_, f32>,
    low: f32,
    high: f32,
) -> Result<Vec<u8>, png::EncodingError> {
    let (rows, columns) = values.dim();
    let span = f64::from(high - low);
    let mut pixels = Vec::with_capacity(3 * rows * columns);
    for value in values.iter() {
        let share = if span > 0.0 { f64::from(value - low) / span } else { 0.0 };
        pixels.extend(colour(share));
    }
    encode(&pixels, columns, rows)
}

/// Encodes pixels of three bytes each, row after row.
pub(crate) fn encode(
    pixels: &[u8],
    width: usize,
    height: usize,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(file)
}

/// Draws the same picture as a `data:` address for an `<img>`, so that a page stays one file.
///
/// # Errors
/// Returns an error if the matrix is empty.
pub fn data_url(
    values: ArrayView2<'_, f32>,
    low: f32,
    high: f32,
) -> Result<String, png::EncodingError> {
    Ok(address(&png(values, low, high)?))
}

/// Draws a volume `[depth, time, time]` in SVG, as a block seen from above, right and front.
///
/// The last plane is in front. Time runs from the left and from the bottom, as recurrence plots are usually drawn. The
/// picture's upper left corner is at `(x, y)`. The front is a square of `size`, and the edges to the back go `slant` to
/// the right and up. `low` is dark and `high` light.
///
/// # Errors
/// Returns an error if the volume is empty.
pub fn block(
    volume: ArrayView3<'_, f32>,
    (low, high): (f32, f32),
    [x, y, size, slant]: [f64; 4],
) -> Result<String, png::EncodingError> {
    if volume.is_empty() {
        return Err(io::Error::other("an empty volume has no picture").into());
    }
    let (depth, height, width) = volume.dim();
    let front = volume.slice(s![depth - 1, ..;-1, ..]);
    let roof = volume.slice(s![.., height - 1, ..]);
    let side = volume.slice(s![..;-1, ..;-1, width - 1]).reversed_axes();
    let faces = [
        // Matrices that map the unit square to a face.
        (roof, [size, 0.0, -slant, slant, x + slant, y]),
        (side, [slant, -slant, 0.0, size, x + size, y + slant]),
        (front, [size, 0.0, 0.0, size, x, y + slant]),
    ];
    let mut svg = String::new();
    for (face, [a, b, c, d, e, f]) in faces {
        let _ = write!(
            svg,
            "<image width=\"1\" height=\"1\" preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" \
             transform=\"matrix({a} {b} {c} {d} {e} {f})\" href=\"{}\"/>",
            data_url(face, low, high)?
        );
    }
    Ok(svg)
}

fn address(png: &[u8]) -> String {
    // Base64 may by chance contain `http`, which in the address of a page would look as if something were
    // loaded. The `%70` becomes a `p` again before base64 is decoded (WHATWG Fetch, "data: URL processor").
    let encoded = STANDARD.encode(png).replace("http", "htt%70");
    format!("data:image/png;base64,{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array3, array};

    #[test]
    fn colours_grow_lighter() {
        let light = |share: f64| {
            let [r, g, b] = colour(share).map(f64::from);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        for k in 0..100 {
            assert!(light(f64::from(k) / 100.0) < light(f64::from(k + 1) / 100.0) + 0.5);
        }
        assert_eq!(colour(-1.0), [68, 1, 84]);
        assert_eq!(colour(2.0), [253, 231, 37]);
        assert_eq!(colour(f64::NAN), [68, 1, 84]);
    }

    #[test]
    fn no_picture_spells_http() {
        let bytes = STANDARD.decode("AhttphttpAAA").expect("base64");
        assert_eq!(STANDARD.encode(&bytes), "AhttphttpAAA");
        assert_eq!(address(&bytes), "data:image/png;base64,Ahtt%70htt%70AAA");
    }

    #[test]
    fn a_block_has_its_last_plane_in_front_and_time_from_the_bottom() {
        // [[0, 1], [2, 3]] behind [[4, 5], [6, 7]].
        let volume = Array3::from_shape_fn((2, 2, 2), |(d, h, w)| (4 * d + 2 * h + w) as f32);
        let svg = block(volume.view(), (0.0, 7.0), [10.0, 20.0, 100.0, 30.0]).expect("draws");
        let faces = [
            // From the back to the front; from the front to the back; and the front itself.
            ("matrix(100 0 -30 30 40 20)", array![[2.0, 3.0], [6.0, 7.0]]),
            ("matrix(30 -30 0 100 110 50)", array![[7.0, 3.0], [5.0, 1.0]]),
            ("matrix(100 0 0 100 10 50)", array![[6.0, 7.0], [4.0, 5.0]]),
        ];
        assert_eq!(svg.matches("<image ").count(), 3);
        for (place, face) in faces {
            let url = data_url(face.view(), 0.0, 7.0).expect("encodes");
            assert!(svg.contains(&format!("{place}\" href=\"{url}\"")), "{place}");
        }
        for empty in [(0, 2, 2), (2, 0, 2), (2, 2, 0)] {
            assert!(block(Array3::zeros(empty).view(), (0.0, 1.0), [1.0; 4]).is_err());
        }
    }

    #[test]
    fn pixels_come_back() {
        let file = png(array![[0.0, 1.0, 2.0]].view(), 0.0, 2.0).expect("encodes");
        let mut reader =
            png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG header");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
        let info = reader.next_frame(&mut pixels).expect("pixels");
        assert_eq!((info.width, info.height), (3, 1));
        assert_eq!(pixels, [68, 1, 84, 33, 145, 140, 253, 231, 37]);
        assert!(png(ndarray::Array2::zeros((0, 3)).view(), 0.0, 1.0).is_err());
    }
}
