//! The `_into` calls allocate nothing once their scratch has been used.
#![allow(unsafe_code)] // An allocator that counts cannot be written without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ecg_core::{Adc, Lead, LeadMask, Recording, SamplingRate};
use ecg3d_convert::{
    ConvertConfig, ConvertError, ConvertPlan, FirMethod, Resample, Scratch, Threshold,
};
use ndarray::{Array2, Array3, Array4};

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory that is allocated.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Gone while the thread ends; nothing is counted then.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `work` once to warm up, and again counting the allocations of this thread.
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
    let polyphase = Resample::Polyphase { rate_hz: 50.0, fir: FirMethod::Polyphase };
    let corrected = ConvertConfig::corrected().with_resample(polyphase);
    let thresholded = corrected.clone().with_threshold(Threshold::Rate { rate: 0.1 });
    for config in [ConvertConfig::published(), corrected, thresholded] {
        let plan = ConvertPlan::new(config, rate).expect("a plan");
        let images = plan.image_plan();
        let mut scratch = Scratch::new();
        let mut prepared = Array2::<f32>::zeros(plan.prepared_shape());
        let mut made = Array3::<f32>::zeros((12, 45, 45));
        let mut volume = Array3::<f32>::zeros((45, 45, 45));
        let mut buffer = Array4::<f32>::zeros((2, 45, 45, 45));
        let masks = [LeadMask(1), LeadMask(4095), LeadMask(77)];
        let calls = allocations(|| {
            plan.prepare_into(&recording, prepared.view_mut(), &mut scratch).expect("prepares");
            let window = prepared.slice(ndarray::s![.., ..100]);
            images.images_into(window, made.view_mut(), &mut scratch).expect("images");
            images.volume_into(made.view(), volume.view_mut(), &mut scratch).expect("a volume");
            images
                .volume_of_window_into(window, volume.view_mut(), &mut scratch)
                .expect("a volume");
            plan.convert_into(&recording, volume.view_mut(), &mut scratch).expect("converts");
            images
                .volumes_of_subsets(made.view(), &masks, buffer.view_mut(), &mut scratch, |_, _| {
                    Ok::<(), ConvertError>(())
                })
                .expect("volumes");
        });
        assert_eq!(calls, 0, "{:?}", plan.config().preset);
    }
}
