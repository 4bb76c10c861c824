use std::fs::File;
use std::path::{Path, PathBuf};

use ecg_core::{Adc, Lead, Recording, SamplingRate};
pub use ecg_test_data::goldens;
use ndarray::{Array2, ArrayD, ArrayViewD};
use ndarray_npy::{NpzReader, ReadableElement};

/// Opens a file that is committed beside the tests.
pub fn fixture(name: &str) -> Npz {
    Npz::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

pub struct Npz(NpzReader<File>, PathBuf);

impl Npz {
    pub fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(NpzReader::new(file).expect("an npz"), path.to_owned())
    }

    pub fn read<T: ReadableElement>(&mut self, name: &str) -> ArrayD<T> {
        self.try_read(name)
            .unwrap_or_else(|| panic!("{}: no {name} of this type", self.1.display()))
    }

    pub fn try_read<T: ReadableElement>(&mut self, name: &str) -> Option<ArrayD<T>> {
        self.0.by_name(name).ok()
    }

    pub fn names(&mut self) -> Vec<String> {
        self.0.names().expect("lists")
    }
}

/// Returns the largest difference, relative to the peak of the expected values, or absolute if these are all zero.
pub fn worst(found: ArrayViewD<'_, f64>, expected: ArrayViewD<'_, f64>) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    let peak = expected.iter().fold(0.0, |peak: f64, v| peak.max(v.abs()));
    let worst = found.iter().zip(expected).fold(0.0, |worst: f64, (a, b)| {
        assert!(a.is_finite() && b.is_finite(), "{a}, expected {b}");
        worst.max((a - b).abs())
    });
    if peak > 0.0 { worst / peak } else { worst }
}

pub fn assert_close(
    what: &str,
    found: ArrayViewD<'_, f64>,
    expected: ArrayViewD<'_, f64>,
    tolerance: f64,
) {
    let error = worst(found, expected);
    assert!(error <= tolerance, "{what}: {error:e} of the peak, allowed {tolerance:e}");
}

/// The signal of `scripts/make_goldens.py`, `[12, samples]`.
pub fn synthetic_adc(samples: usize) -> Array2<i32> {
    Array2::from_shape_fn((12, samples), |(lead, t)| {
        let (lead, t) = (lead as i64, t as i64);
        let triangle = ((t * (lead + 2)) % 600 - 300).abs() * 3 - 450;
        let noise = (t * t * (lead + 3) + 37 * t + 101 * lead) % 2003 - 1001;
        (triangle + noise.div_euclid(8)) as i32
    })
}

/// Makes a recording of these integers at 1000 per mV, with the twelve leads in the standard order.
pub fn recording(adc: Array2<i32>, rate_hz: f64) -> Recording {
    let rate = SamplingRate::new(rate_hz).expect("a rate");
    let signal = adc.mapv(|value| f64::from(value) / 1000.0);
    let leads = adc.nrows();
    Recording::new("test", rate, Lead::STANDARD_12.into_iter().take(leads), signal)
        .expect("a recording")
        .with_adc(Adc { values: adc, gain_per_mv: vec![1000.0; leads], baseline: vec![0; leads] })
        .expect("the shapes agree")
}
