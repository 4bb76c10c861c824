//! Every instruction set gives the same bits from the prepared signal on.
//!
//! The instruction set is chosen once per process, from what `ECG3D_SIMD` allows, so this program runs itself again for
//! each. If the processor lacks one, the run for it uses the next smaller one.

use std::process::Command;

use ecg_core::LeadMask;
use ecg3d_convert::{ConvertConfig, ConvertError, ImagePlan, Metric, Real, Scratch, Threshold};
use ndarray::{Array2, Array4};

/// Set for the runs that this program starts.
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

#[test]
fn all_instruction_sets_give_the_same_bits() {
    if std::env::var_os(INNER).is_some() {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        add_all::<f32>(&mut digest);
        add_all::<f64>(&mut digest);
        println!("digest {:016x};", digest.0);
        return;
    }
    let digest = |level: &str| {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "all_instruction_sets_give_the_same_bits", "--nocapture"])
            .env(INNER, "1")
            .env("ECG3D_SIMD", level)
            .output()
            .expect("runs");
        assert!(output.status.success(), "{level}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let start = text.find("digest ").expect("a digest");
        text[start..].split(';').next().expect("a part").to_owned()
    };
    let portable = digest("portable");
    assert_eq!(portable.len(), "digest ".len() + 16);
    for level in ["avx2", "avx512"] {
        assert_eq!(digest(level), portable, "{level}");
    }
}
