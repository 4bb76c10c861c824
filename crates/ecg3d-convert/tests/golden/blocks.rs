use ecg3d_convert::{
    Band, CubicZoom, Edges, FftResampler, PolyResampler, RecurrencePlot, Sos, SplineZoom,
    Threshold, butterworth, notch,
};
use ndarray::{Array, ArrayD, Axis, Ix2};
use serde_json::Value;

use crate::support::{Npz, assert_close, goldens};

/// Tolerance relative to the peak, for rounding in other orders of summation.
const F64: f64 = 1e-12;
/// The same for filters that start from a steady state. Compared with the exact values (in 50 digits), SciPy's are off
/// by up to 3e-12, ours by up to 2e-12.
const STEADY: f64 = 5e-12;

fn json(path: &std::path::Path) -> Value {
    let text = std::fs::read_to_string(path).expect("reads");
    serde_json::from_str(&text).expect("JSON")
}

fn sections(value: &Value) -> Vec<[f64; 6]> {
    serde_json::from_value(value.clone()).expect("sections")
}

/// Compares the coefficients, allowing a few of SciPy's rounding errors, whatever the order.
fn assert_design(what: &str, own: &Sos, expected: &[[f64; 6]]) {
    assert_eq!(own.sections().len(), expected.len(), "{what}");
    for (own, expected) in own.sections().iter().zip(expected) {
        // The overall gain in b0 may be tiny, so each half is measured by its own peak.
        for part in [0..3, 3..6] {
            let peak = expected[part.clone()].iter().fold(0.0, |p: f64, v| p.max(v.abs()));
            for (a, b) in own[part.clone()].iter().zip(&expected[part]) {
                assert!((a - b).abs() <= 1e-14 * peak, "{what}: {own:?}, expected {expected:?}");
            }
        }
    }
}

fn map_rows(x: &ArrayD<f64>, f: impl Fn(&[f64]) -> Vec<f64>) -> ArrayD<f64> {
    let rows: Vec<_> = x.rows().into_iter().map(|row| Array::from(f(&row.to_vec()))).collect();
    let views: Vec<_> = rows.iter().map(|row| row.view()).collect();
    ndarray::stack(Axis(0), &views).expect("equal lengths").into_dyn()
}

#[test]
fn butterworth_designs() {
    let Some(folder) = goldens("blocks") else { return };
    for (name, expected) in json(&folder.join("butter_design.json")).as_object().expect("a map") {
        if name == "iirnotch50_q30" {
            let [b, a]: [[f64; 3]; 2] = serde_json::from_value(expected.clone()).expect("b and a");
            let own = notch(50.0, 30.0, 500.0).expect("a design");
            assert_design(name, &own, &[[b[0], b[1], b[2], a[0], a[1], a[2]]]);
            continue;
        }
        let (kind, order) = name.rsplit_once('_').expect("an order");
        let order = order.parse().expect("an order");
        let band = match kind {
            "highpass" => Band::High(0.5),
            "lowpass" => Band::Low(40.0),
            "bandpass" => Band::Pass(0.5, 40.0),
            other => panic!("{other}"),
        };
        let own = butterworth(order, band, 500.0).expect("a design");
        assert_design(name, &own, &sections(expected));
    }
}

#[test]
fn filters() {
    let Some(folder) = goldens("blocks") else { return };
    let mut arrays = Npz::open(&folder.join("filters.npz"));
    let x = arrays.read::<f64>("x");
    for (name, case) in json(&folder.join("filters.json")).as_object().expect("a map") {
        let corner = |k: usize| case["fc"][k].as_f64().expect("a frequency");
        let one = || case["fc"].as_f64().expect("a frequency");
        let band = match name.split('_').next() {
            Some("highpass") => Band::High(one()),
            Some("lowpass") => Band::Low(one()),
            Some("bandpass") => Band::Pass(corner(0), corner(1)),
            _ => Band::Stop(corner(0), corner(1)),
        };
        let order: Option<usize> = name.split("_o").nth(1).and_then(|rest| rest[..1].parse().ok());
        let rate = case["fs"].as_f64().expect("a rate");
        let expected = sections(&case["sos"]);
        let design = butterworth(order.expect("an order"), band, rate).expect("a design");
        assert_design(name, &design, &expected);
        // Run with SciPy's own coefficients, so that the filters are compared and not the designs.
        let sos = Sos::new(&expected).expect("a filter");
        let read = |arrays: &mut Npz, what: &str| arrays.read::<f64>(&format!("{name}__{what}"));
        let steady = sos.steady();
        let zi = steady.values().concat();
        let zi = Array::from(zi).into_shape_with_order((steady.values().len(), 2)).expect("pairs");
        assert_close(name, zi.view().into_dyn(), read(&mut arrays, "zi").view(), STEADY);
        let run = |row: &[f64], start: f64| {
            let mut out = row.to_vec();
            sos.filter(&mut out, &mut steady.scaled(start)).expect("its own state");
            out
        };
        let rest = map_rows(&x, |row| run(row, 0.0));
        // As if each row had begun long before with its first value.
        let settled = map_rows(&x, |row| run(row, row[0]));
        for (what, found, tolerance) in [("sosfilt", rest, F64), ("sosfilt_zi", settled, STEADY)] {
            let expected = read(&mut arrays, what);
            assert_close(&format!("{name} {what}"), found.view(), expected.view(), tolerance);
        }
        let padding = case["sosfiltfilt_padlen"].as_u64().expect("a length") as usize;
        let found = map_rows(&x, |row| {
            let mut out = row.to_vec();
            sos.filter_both_ways(&mut out, padding).expect("filters");
            out
        });
        assert_close(
            &format!("{name} sosfiltfilt"),
            found.view(),
            read(&mut arrays, "sosfiltfilt").view(),
            STEADY,
        );
    }
}

#[test]
fn resampling() {
    let Some(folder) = goldens("blocks") else { return };
    let mut arrays = Npz::open(&folder.join("resample.npz"));
    let names: Vec<_> = arrays.names().into_iter().filter(|name| name.starts_with('x')).collect();
    assert_eq!(names.len(), 13);
    for name in names {
        let sizes: Vec<usize> =
            name.split('_').skip(1).map(|size| size.parse().expect("a size")).collect();
        let plan = FftResampler::new(sizes[0], sizes[1]).expect("a plan");
        let x = arrays.read::<f64>(&name);
        let found = map_rows(&x, |row| plan.resample(row).expect("resamples"));
        assert_close(&name, found.view(), arrays.read(&name.replace('x', "y")).view(), F64);
    }
    let mut arrays = Npz::open(&folder.join("resample_poly.npz"));
    for name in arrays.names().into_iter().filter(|name| name.starts_with('x')) {
        let sizes: Vec<usize> =
            name.split('_').skip(1).map(|size| size.parse().expect("a size")).collect();
        let plan = PolyResampler::new(sizes[1], sizes[2]).expect("a plan").with_edges(Edges::Zero);
        let x = arrays.read::<f64>(&name);
        let found = map_rows(&x, |row| plan.resample(row).expect("resamples"));
        assert_close(&name, found.view(), arrays.read(&name.replace('x', "y")).view(), F64);
    }
}

#[test]
fn recurrence_plots() {
    let Some(folder) = goldens("blocks") else { return };
    let mut arrays = Npz::open(&folder.join("recurrence.npz"));
    let x = arrays.read::<f64>("x");
    let names: Vec<_> = arrays.names().into_iter().filter(|name| name != "x").collect();
    assert!(names.iter().any(|name| name.starts_with('D')));
    assert!(names.iter().any(|name| name.starts_with('R')));
    for name in names {
        let (embedding, threshold) = name.split_once("_th").unwrap_or((&name, ""));
        let parts: Vec<usize> = embedding
            .split('_')
            .skip(1)
            .map(|part| part.trim_start_matches(['m', 't']).parse().expect("a number"))
            .collect();
        let plot = RecurrencePlot::new(parts[0], parts[1]).expect("a plot");
        let row = x.index_axis(Axis(0), parts[2]).to_owned().into_raw_vec_and_offset().0;
        let Ok(distance) = threshold.parse() else {
            let found = plot.of(&row).expect("distances");
            assert_close(&name, found.view().into_dyn(), arrays.read(&name).view(), F64);
            continue;
        };
        let plot = plot.with_threshold(Threshold::Distance { distance }).expect("a distance");
        let found = plot.of(&row).expect("a plot").mapv(|value| value as u8);
        assert_eq!(found.into_dyn(), arrays.read::<u8>(&name), "{name}");
    }
}

#[test]
fn zoom_matrices() {
    let Some(folder) = goldens("linear") else { return };
    let mut arrays = Npz::open(&folder.join("matrices.npz"));
    for (from, to, name) in [(12, 45, "A_depth"), (99, 45, "A_h")] {
        let own = CubicZoom::new(from, to).expect("a zoom").matrix();
        assert_close(name, own.view().into_dyn(), arrays.read(name).view(), F64);
    }
    // Filtering and resampling together are one matrix.
    let expected = arrays.read::<f64>("L").into_dimensionality::<Ix2>().expect("two axes");
    let filter = butterworth(1, Band::High(0.5), 50.0).expect("a filter");
    let resampler = FftResampler::new(1000, 100).expect("a plan");
    for column in 0..1000 {
        let mut impulse = vec![0.0; 1000];
        impulse[column] = 1.0;
        filter.filter(&mut impulse, &mut filter.rest()).expect("its own state");
        let found = Array::from(resampler.resample(&impulse).expect("resamples")).into_dyn();
        assert_close("L", found.view(), expected.column(column).into_dyn(), F64);
    }
}

#[test]
fn the_last_value_is_never_lost() {
    // Sizes at which a rounding error makes SciPy's zoom write a zero.
    for (from, to) in [(26, 45), (51, 45), (62, 45), (90, 45), (101, 45), (16, 30), (61, 30)] {
        let ones = ArrayD::from_elem(vec![from], 1.0);
        let zoom = SplineZoom::new(3).expect("a zoom");
        for value in zoom.zoom(ones.view(), &[to]).expect("zooms") {
            approx::assert_relative_eq!(value, 1.0, max_relative = 1e-14);
        }
    }
}
