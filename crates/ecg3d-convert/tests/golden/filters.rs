//! The choices of the building blocks compared with SciPy, on the numbers of `scripts/make_block_goldens.py`.

use ecg3d_convert::{
    Band, Continuation, ConvertError, Edges, Extent, FftResampler, Fir, PolyResampler, Sos,
    SosState, butterworth,
};
use ndarray::{ArrayD, ArrayView1};
use proptest::prelude::*;

use crate::support::{assert_close, fixture};

/// Tolerance relative to the peak, for rounding in other orders of summation.
const F64: f64 = 1e-12;

fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|k| ((k * k * 7 + 13 * k + 5) % 801) as f64 / 8.0 - 50.0).collect()
}

fn close(what: &str, found: &[f64], expected: &ArrayD<f64>, tolerance: f64) {
    assert_close(what, ArrayView1::from(found).into_dyn(), expected.view(), tolerance);
}

fn sections(file: &mut crate::support::Npz, name: &str) -> Sos {
    let rows: Vec<[f64; 6]> = file
        .read::<f64>(name)
        .rows()
        .into_iter()
        .map(|row| std::array::from_fn(|k| row[k]))
        .collect();
    Sos::new(&rows).expect("a filter")
}

#[test]
fn every_band_and_order_and_its_state() {
    let mut file = fixture("blocks.npz");
    let x = numbers(150);
    for (kind, band) in [
        ("lowpass", Band::Low(20.0)),
        ("highpass", Band::High(5.0)),
        ("bandpass", Band::Pass(5.0, 40.0)),
        ("bandstop", Band::Stop(45.0, 55.0)),
    ] {
        for order in [1, 3, 6] {
            let name = |what: &str| format!("{what}_{kind}_{order}");
            let own = butterworth(order, band, 250.0).expect("a design");
            let design = sections(&mut file, &name("sos"));
            assert_eq!(own.sections().len(), design.sections().len());
            for (own, expected) in own.sections().iter().zip(design.sections()) {
                for (a, b) in own.iter().zip(expected) {
                    // A few rounding errors; a coefficient that should be 0 has those of its neighbours.
                    approx::assert_relative_eq!(a, b, max_relative = 1e-14, epsilon = 1e-14);
                }
            }
            let mut whole = x.clone();
            let mut state = design.steady().scaled(x[0]);
            design.filter(&mut whole, &mut state).expect("its own state");
            let thinned: Vec<_> = whole.iter().step_by(5).copied().collect();
            close(&name("filt"), &thinned, &file.read(&name("filt")), F64);
            let expected = file.read::<f64>(&name("state")).flatten().into_owned().into_dyn();
            close(&name("state"), &state.values().concat(), &expected, F64);
            // In pieces of any length, one of them empty: equal to the bit.
            let mut pieces = x.clone();
            let mut state = SosState::new(design.steady().scaled(x[0]).values().to_vec());
            let mut rest = pieces.as_mut_slice();
            for length in [1, 0, 70, 79] {
                let piece;
                (piece, rest) = rest.split_at_mut(length);
                design.filter(piece, &mut state).expect("its own state");
            }
            assert_eq!(pieces, whole);
        }
    }
}

#[test]
fn forward_and_backward_with_every_padding() {
    let mut file = fixture("blocks.npz");
    let sos = sections(&mut file, "sos_bandpass_3");
    let mut check = |name: &str, continuation, padding| {
        let mut found = numbers(150);
        sos.filter_both_ways_with(&mut found, continuation, padding).expect("filters");
        close(name, &found, &file.read(name), F64);
    };
    for (name, continuation) in [
        ("both_odd", Continuation::Odd),
        ("both_even", Continuation::Even),
        ("both_constant", Continuation::Constant),
    ] {
        check(name, continuation, sos.default_padding());
        check(&format!("{name}_40"), continuation, 40);
        check("both_none", continuation, 0);
    }
    let mut short = numbers(40);
    let error = sos.filter_both_ways_with(&mut short, Continuation::Even, 40);
    assert!(matches!(error, Err(ConvertError::Length { expected: 41, found: 40, .. })));
}

#[test]
fn convolutions() {
    let mut file = fixture("blocks.npz");
    let x = numbers(150);
    for count in [1, 8, 31] {
        let fir = Fir::new(numbers(count)).expect("a filter");
        for (mode, extent) in
            [("full", Extent::Full), ("same", Extent::Same), ("valid", Extent::Valid)]
        {
            let name = format!("conv_{count}_{mode}");
            let expected = file.read(&name);
            close(&name, &fir.convolve(&x, extent), &expected, F64);
            close(&name, &fir.by_fft().convolve(&x, extent), &expected, F64);
        }
    }
    let low_pass = Fir::low_pass(20, 0.3, 6.0).expect("a low-pass");
    close("low_pass", low_pass.taps(), &file.read("low_pass"), F64);
    assert!(Fir::new(Vec::new()).is_err());
    assert!(Fir::new(vec![1.0, f64::NAN]).is_err());
    assert!(Fir::low_pass(20, 0.0, 6.0).is_err());
    assert!(Fir::low_pass(20, 0.5, f64::NAN).is_err());
    let other = &mut Fir::new(vec![1.0; 3]).expect("a filter").rest();
    assert!(low_pass.filter(&mut [1.0], other).is_err());
}

#[test]
fn resampling_odd_and_even_up_and_down() {
    let mut file = fixture("blocks.npz");
    for (from, to) in [
        (1, 1),
        (1, 4),
        (4, 1),
        (2, 3),
        (3, 2),
        (7, 5),
        (5, 7),
        (8, 6),
        (6, 8),
        (9, 4),
        (4, 9),
        (12, 12),
        (13, 26),
        (26, 13),
        (10, 5),
        (5, 10),
    ] {
        let name = format!("fft_{from}_{to}");
        let plan = FftResampler::new(from, to).expect("a plan");
        close(&name, &plan.resample(&numbers(from)).expect("resamples"), &file.read(&name), F64);
    }
    for (up, down) in [(1, 3), (3, 1), (2, 3), (3, 2), (4, 4), (5, 36)] {
        for (padtype, edges) in [("line", Edges::Line), ("constant", Edges::Zero)] {
            let name = format!("poly_{up}_{down}_{padtype}");
            let plan = PolyResampler::new(up, down).expect("a plan").with_edges(edges);
            close(&name, &plan.resample(&numbers(150)).expect("resamples"), &file.read(&name), F64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn three_ways_to_convolve(
        x in prop::collection::vec(-1e3..1e3, 0..900),
        taps in prop::collection::vec(-1.0..1.0, 1..90),
        cut in 0.0..1.0_f64,
    ) {
        let fir = Fir::new(taps).expect("a filter");
        for extent in [Extent::Full, Extent::Same, Extent::Valid] {
            let direct = fir.convolve(&x, extent);
            let by_fft = fir.by_fft().convolve(&x, extent);
            prop_assert_eq!(direct.len(), by_fft.len());
            for (a, b) in direct.iter().zip(&by_fft) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
        let full = fir.convolve(&x, Extent::Full);
        let mut causal = x.clone();
        let (head, tail) = causal.split_at_mut((x.len() as f64 * cut) as usize);
        let mut state = fir.rest();
        fir.filter(head, &mut state).expect("its own state");
        fir.filter(tail, &mut state).expect("its own state");
        for (a, b) in causal.iter().zip(&full) {
            prop_assert!((a - b).abs() < 1e-9);
        }
    }
}
