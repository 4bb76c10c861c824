use ecg3d_convert::{Boundary, CubicZoom, SplineZoom};
use ndarray::{Array2, Array3, Array4, ArrayD, ArrayView3, Axis, array};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Npz, assert_close, fixture, goldens, worst};

/// Tolerance relative to the peak, for rounding in other orders of summation.
const F64: f64 = 1e-12;

/// In the order of `scripts/make_zoom_goldens.py`.
const BOUNDARIES: [Boundary; 7] = [
    Boundary::Mirror,
    Boundary::Reflect,
    Boundary::Nearest,
    Boundary::GridWrap,
    Boundary::Wrap,
    Boundary::GridConstant(2.5),
    Boundary::Constant(2.5),
];

fn planned(order: usize, boundary: Boundary, grid: bool) -> SplineZoom {
    SplineZoom::new(order).expect("an order").with_boundary(boundary).with_grid(grid)
}

/// The numbers that the script uses.
fn numbers(shape: [usize; 3]) -> Array3<f64> {
    let numbers = (0..shape.iter().product::<usize>())
        .map(|k| ((k * k * 7 + 13 * k + 5) % 801) as f64 / 8.0 - 50.0)
        .collect();
    Array3::from_shape_vec(shape, numbers).expect("as many numbers")
}

#[test]
fn every_order_and_boundary_equals_scipy() {
    let mut file = fixture("zoom.npz");
    let values = file.read::<f64>("values").into_raw_vec_and_offset().0;
    let mut rest = values.as_slice();
    for shape in file.read::<i64>("shapes").axis_iter(Axis(0)) {
        let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
        let (before, after) = shape.split_at(3);
        let x = numbers([before[0], before[1], before[2]]);
        for order in 0..=5 {
            for boundary in BOUNDARIES {
                for grid in [false, true] {
                    let expected;
                    (expected, rest) = rest.split_at(after.iter().product());
                    let expected = ArrayView3::from_shape((after[0], after[1], after[2]), expected)
                        .expect("as many numbers");
                    let plan = planned(order, boundary, grid);
                    let found = plan.zoom(x.view(), after).expect("zooms");
                    let what = format!("{before:?} to {after:?}, {plan:?}");
                    assert_close(&what, found.view().into_dyn(), expected.into_dyn(), F64);
                }
            }
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn the_golden_zooms() {
    let Some(folder) = goldens("blocks") else { return };
    let mut arrays = Npz::open(&folder.join("zoom.npz"));
    let text = std::fs::read_to_string(folder.join("zoom.json")).expect("reads");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let mut seen = 0;
    for case in cases.as_array().expect("a list") {
        let key = case["key"].as_str().expect("a name");
        let spoilt: Vec<bool> = serde_json::from_value(case["zero_last"].clone()).expect("flags");
        if spoilt.contains(&true) {
            continue;
        }
        let parts: Vec<_> = key.split('_').collect();
        let order = parts[1].trim_start_matches('o').parse().expect("an order");
        let plan = planned(order, parts[2].parse().expect("a boundary"), false);
        let x = arrays.read::<f64>(&format!("{}_x", parts[0]));
        let to: Vec<usize> = serde_json::from_value(case["dst"].clone()).expect("sizes");
        let found = plan.zoom(x.view(), &to).expect("zooms");
        assert_close(key, found.view(), arrays.read(key).view(), F64);
        seen += 1;
    }
    assert!(seen > 50);
}

#[test]
fn the_cubic_zoom_is_one_of_them() {
    for (from, to) in [(1, 1), (1, 4), (2, 7), (3, 1), (12, 45), (26, 45), (99, 45), (40, 200)] {
        let own = CubicZoom::new(from, to).expect("a zoom").matrix();
        let zoom = planned(3, Boundary::Mirror, false);
        let found = zoom.zoom_axes(Array2::<f64>::eye(from).view(), &[(Axis(0), to)]);
        let found = found.expect("zooms");
        assert_close(
            &format!("{from} to {to}"),
            own.view().into_dyn(),
            found.view().into_dyn(),
            F64,
        );
    }
    let single = numbers([5, 12, 30]).into_dyn().mapv(|value| value as f32);
    let found = planned(5, Boundary::Reflect, true).zoom(single.view(), &[2, 3, 4]);
    assert_eq!(found.expect("zooms").shape(), [2, 3, 4]);
}

#[test]
fn the_last_sample_is_never_outside() {
    for boundary in BOUNDARIES {
        for (from, to) in [(26, 45), (51, 45), (62, 45), (90, 45), (101, 45), (16, 30), (61, 30)] {
            let mut x = ArrayD::zeros(vec![from]);
            x[from - 1] = 8.0;
            let found = planned(1, boundary, false).zoom(x.view(), &[to]).expect("zooms");
            assert_eq!(found[to - 1], 8.0, "{boundary}, {from} to {to}");
        }
    }
}

#[test]
fn axes_of_choice() {
    let x = numbers([3, 4, 5]);
    let plan = planned(3, Boundary::Mirror, false);
    let along = plan.zoom_axes(x.view(), &[(Axis(2), 9), (Axis(0), 2)]).expect("zooms");
    assert_eq!(along.dim(), (2, 4, 9));
    let all = plan.zoom(x.view(), &[2, 4, 9]).expect("zooms");
    assert_close("axes", along.view().into_dyn(), all.view().into_dyn(), F64);
    assert_eq!(plan.zoom_axes(x.view(), &[]).expect("zooms"), x);
    for bad in [vec![(Axis(3), 2)], vec![(Axis(0), 2), (Axis(0), 3)], vec![(Axis(0), 0)]] {
        assert!(plan.zoom_axes(x.view(), &bad).is_err(), "{bad:?}");
    }
    assert!(plan.zoom(x.view(), &[2, 2]).is_err());
    assert!(plan.zoom(x.view(), &[1 << 20, 1 << 20, 1 << 20]).is_err());
    // The taps of one axis take more memory than its values.
    let error = plan.zoom(array![1.0, 2.0].view(), &[1 << 32]).expect_err("too long");
    assert_eq!(error.to_string(), "the size of a zoomed axis is 4294967296, expected at most 2^27");
    let long = [1, 2, 3].map(|axis| (Axis(axis), 1 << 27));
    assert!(plan.zoom_axes(Array4::<f64>::zeros((0, 1, 1, 1)).view(), &long).is_err());
    assert!(plan.zoom(Array3::<f64>::zeros((2, 0, 2)).view(), &[2, 2, 2]).is_err());
    assert!(SplineZoom::new(6).is_err());
}

#[test]
fn what_shrinks_does_so_before_the_rest_grows() {
    let x = Array2::from_shape_fn((1, 1 << 20), |(_, t)| (t % 7) as f64);
    let plan = planned(1, Boundary::Mirror, false);
    // In the order of the axes, there would be 2^33 values in between.
    let found = plan.zoom(x.view(), &[1 << 13, 4]).expect("zooms");
    assert_eq!(found.dim(), (1 << 13, 4));
    assert_eq!(found.row(5), found.row(0));
    let long = plan.zoom(x.row(0), &[4]).expect("zooms");
    assert_eq!(found.row(0), long);
}

#[test]
fn outside_is_the_constant_whatever_it_is() {
    let plan = planned(3, Boundary::Constant(f64::NAN), true);
    let found = plan.zoom(array![[1.0_f64, 2.0], [3.0, 4.0]].view(), &[4, 4]).expect("zooms");
    for ((row, column), value) in found.indexed_iter() {
        let inside = (1..3).contains(&row) && (1..3).contains(&column);
        assert_eq!(value.is_finite(), inside, "{row}, {column}");
    }
}

#[test]
fn coefficients_give_the_samples_back() {
    let x = numbers([1, 1, 9]);
    for order in 0..=5 {
        let plan = planned(order, Boundary::Mirror, false);
        let own = plan.coefficients(x.view());
        // The values of the spline at its nodes: the coefficients convolved with the sampled B-spline.
        let kernel: &[f64] = match order {
            0 | 1 => &[1.0],
            2 => &[1.0 / 8.0, 6.0 / 8.0, 1.0 / 8.0],
            3 => &[1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0],
            4 => &[1.0, 76.0, 230.0, 76.0, 1.0].map(|w| w / 384.0),
            _ => &[1.0, 26.0, 66.0, 26.0, 1.0].map(|w| w / 120.0),
        };
        for k in 2..7 {
            let value: f64 = kernel
                .iter()
                .enumerate()
                .map(|(j, weight)| weight * own[[0, 0, k + j - kernel.len() / 2]])
                .sum();
            approx::assert_abs_diff_eq!(value, x[[0, 0, k]], epsilon = 1e-12 * 50.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_size_changes_nothing(
        x in prop::collection::vec(-1e3..1e3, 60), order in 0usize..=5, which in 0usize..7,
    ) {
        // SciPy's start value of `reflect`, which is reproduced, is inexact on short axes.
        let shape = if BOUNDARIES[which] == Boundary::Reflect { vec![60] } else { vec![3, 4, 5] };
        let x = ArrayD::from_shape_vec(shape, x).expect("60 values");
        for grid in [false, true] {
            let same = planned(order, BOUNDARIES[which], grid).zoom(x.view(), x.shape());
            prop_assert!(worst(same.expect("zooms").view(), x.view()) < 1e-13);
        }
    }
}
