use std::process::Command;

use ecg_core::LeadMask;
use ndarray::{Array2, Array4};

use super::{Level, parsed, wide};
use crate::{ConvertConfig, ConvertError, ImagePlan, Metric, Real, Scratch, Threshold};

/// Set for the runs that a test starts.
const INNER: &str = "ECG3D_TEST_DIGEST";

/// FNV-1a over the bits of numbers.
struct Digest(u64);

impl Digest {
    fn add<'a, T: Real>(&mut self, values: impl IntoIterator<Item = &'a T>) {
        for value in values {
            let bits = value.to_f64().expect("a number").to_bits();
            for byte in bits.to_le_bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}

fn configs() -> Vec<ConvertConfig> {
    let usual = ConvertConfig::published;
    vec![
        usual(),
        usual().with_volume_size([7, 31, 60]),
        usual().with_embedding_dimension(3).with_embedding_delay(4),
        usual().with_metric(Metric::Maximum),
        usual().with_metric(Metric::Manhattan).with_threshold(Threshold::Rate { rate: 0.2 }),
        usual().with_threshold(Threshold::Distance { distance: 5.0 }),
    ]
}

fn add_all<T: Real>(digest: &mut Digest) {
    let window = Array2::from_shape_fn((12, 100), |(lead, t)| {
        T::from_f64(((t * t * (lead + 3) + 37 * t) % 2003) as f64 / 91.0 - 11.0)
    });
    for config in configs() {
        let plan = ImagePlan::new(&config).expect("a plan");
        let images = plan.images(window.view()).expect("images");
        digest.add(&images);
        digest.add(&plan.volume_of_window(window.view()).expect("a volume"));
        let [depth, height, width] = plan.volume_shape();
        let mut buffer = Array4::zeros((3, depth, height, width));
        let masks: Vec<_> = (1..4096).step_by(585).map(LeadMask).collect();
        plan.volumes_of_subsets(
            images.view(),
            &masks,
            buffer.view_mut(),
            &mut Scratch::new(),
            |_, volumes| {
                digest.add(volumes);
                Ok::<(), ConvertError>(())
            },
        )
        .expect("volumes");
    }
}

/// From the prepared signal on. The instruction set is chosen once per process, from what `ECG3D_SIMD` allows, so this
/// test runs itself again for each, and without the variable.
#[test]
fn all_instruction_sets_give_the_same_bits() {
    if std::env::var_os(INNER).is_some() {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        add_all::<f32>(&mut digest);
        add_all::<f64>(&mut digest);
        println!("found {:?} {:016x};", wide::level(), digest.0);
        return;
    }
    let digest = |asked: Option<Level>| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "simd::tests::all_instruction_sets_give_the_same_bits"])
            .arg("--nocapture")
            .env(INNER, "1")
            .env_remove("ECG3D_SIMD");
        if let Some(asked) = asked {
            command.env("ECG3D_SIMD", format!("{asked:?}"));
        }
        let output = command.output().expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{asked:?}: {errors}");
        let text = String::from_utf8(output.stdout).expect("text");
        let (_, found) = text.split_once("found ").expect("a line of the test");
        let (found, _) = found.split_once(';').expect("its end");
        let (level, digest) = found.split_once(' ').expect("a level and a digest");
        let expected = asked.unwrap_or(Level::Avx512).min(wide::widest());
        assert_eq!(level, format!("{expected:?}"), "asked for {asked:?}");
        digest.to_owned()
    };
    let portable = digest(Some(Level::Portable));
    assert_eq!(portable.len(), 16);
    for asked in [Some(Level::Avx2), Some(Level::Avx512), None] {
        assert_eq!(digest(asked), portable, "{asked:?}");
    }
}

#[test]
fn levels_are_named_in_any_case() {
    for (value, expected) in [
        ("", None),
        ("portable", Some(Level::Portable)),
        ("AVX2", Some(Level::Avx2)),
        ("avx512", Some(Level::Avx512)),
    ] {
        assert_eq!(parsed(value).as_ref(), Ok(&expected), "{value:?}");
    }
    let error = parsed("avx-2").expect_err("unknown");
    let said = "ECG3D_SIMD is \"avx-2\", expected portable, avx2 or avx512";
    assert_eq!(error.to_string(), said);
}
