//! The `_into` calls allocate nothing once their scratch has been used.
#![allow(unsafe_code)] // An allocator that counts cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ecg_core::{Adc, Lead, LeadMask, Recording, SamplingRate};
use ecg3d_convert::{
    ConvertConfig, ConvertError, ConvertPlan, Denoise, FirMethod, InvalidSamples, Metric, Real,
    Resample, Scale, Scratch, Threshold, Units,
};
use ndarray::{Array2, Array3, Array4};

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed unchanged to the system's allocator; counting does not touch allocated memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The counter is gone while the thread ends; nothing is counted then.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller upholds the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller upholds the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` once to warm up, then again while counting the allocations of this thread.
fn allocations(mut work: impl FnMut()) -> usize {
    work();
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

#[test]
fn into_calls_allocate_nothing() {
    let values = Array2::from_shape_fn((12, 5000), |(lead, t)| ((t * (lead + 7)) % 401) as i32);
    let rate = SamplingRate::new(500.0).expect("a rate");
    let signal = values.mapv(|value| f64::from(value) / 1000.0);
    let adc = Adc { values, gain_per_mv: vec![1000.0; 12], baseline: vec![0; 12] };
    let recording = Recording::new("r", rate, Lead::STANDARD_12, signal)
        .and_then(|recording| recording.with_adc(adc))
        .expect("a recording");
    for config in configs() {
        let plan = ConvertPlan::new(config, rate).expect("a plan");
        assert_eq!(in_all_calls::<f32>(&plan, &recording), 0, "f32 {:?}", plan.config());
        assert_eq!(in_all_calls::<f64>(&plan, &recording), 0, "f64 {:?}", plan.config());
    }
}

/// Both presets, and variations of them, but no FIR filters by convolution, which may allocate.
fn configs() -> Vec<ConvertConfig> {
    let (published, corrected) = (ConvertConfig::published, ConvertConfig::corrected);
    let odd_rate = Resample::Polyphase { rate_hz: 47.0, fir: FirMethod::Polyphase };
    let causal = Denoise::Causal { order: 3, cutoff_hz: 0.7, design_rate_hz: None };
    let mut configs = vec![
        published(),
        published().with_resample(Resample::Fft { samples: 101 }),
        published().with_denoise(Denoise::None).with_units(Units::Millivolts),
        published().with_embedding_dimension(3).with_embedding_delay(2),
        published().with_volume_size([20, 31, 45]),
        corrected(),
        corrected().with_denoise(causal),
        corrected().with_resample(odd_rate),
        corrected().with_invalid_samples(InvalidSamples::Interpolate { max_gap_s: 0.1 }),
    ];
    for scale in [Scale::UnitPeak, Scale::ZScore] {
        configs.push(corrected().with_scale(scale));
    }
    for metric in [Metric::Manhattan, Metric::Maximum] {
        configs.push(corrected().with_metric(metric));
    }
    for threshold in [Threshold::Distance { distance: 0.2 }, Threshold::Rate { rate: 0.1 }] {
        configs.push(corrected().with_threshold(threshold));
    }
    configs
}

/// Counts the allocations of a second round of all `_into` calls.
fn in_all_calls<T: Real>(plan: &ConvertPlan, recording: &Recording) -> usize {
    let images = plan.image_plan();
    let [leads, samples] = images.window_shape();
    let [depth, height, width] = images.volume_shape();
    let mut scratch = Scratch::new();
    let mut prepared = Array2::<T>::zeros(plan.prepared_shape());
    let mut made = Array3::<T>::zeros((leads, height, width));
    let mut volume = Array3::<T>::zeros((depth, height, width));
    let mut buffer = Array4::<T>::zeros((2, depth, height, width));
    let masks = [LeadMask(1), LeadMask(4095), LeadMask(77)];
    allocations(|| {
        plan.prepare_into(recording, prepared.view_mut(), &mut scratch).expect("prepares");
        let window = prepared.slice(ndarray::s![.., ..samples]);
        images.images_into(window, made.view_mut(), &mut scratch).expect("images");
        images.volume_into(made.view(), volume.view_mut(), &mut scratch).expect("a volume");
        images.volume_of_window_into(window, volume.view_mut(), &mut scratch).expect("a volume");
        plan.convert_into(recording, volume.view_mut(), &mut scratch).expect("converts");
        images
            .volumes_of_subsets(made.view(), &masks, buffer.view_mut(), &mut scratch, |_, _| {
                Ok::<(), ConvertError>(())
            })
            .expect("volumes");
    })
}
