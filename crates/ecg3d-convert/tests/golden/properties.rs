use ecg_core::LeadMask;
use ecg3d_convert::{
    Band, ConvertConfig, ConvertError, ConvertPlan, FftResampler, ImagePlan, LeadSelection,
    PolyResampler, RecurrencePlot, Scratch, SplineZoom, Threshold, butterworth,
};
use ndarray::{Array2, Array3, Array4, ArrayD, Axis, ShapeBuilder, s};
use proptest::prelude::*;

use crate::support::{recording, synthetic_adc, worst};

fn signal(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1e3..1e3, len)
}

fn window() -> impl Strategy<Value = Array2<f64>> {
    signal(1200).prop_map(|values| Array2::from_shape_vec((12, 100), values).expect("12 x 100"))
}

/// Compares `f(a x + y)` with `a f(x) + f(y)`.
fn is_linear(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], y: &[f64], a: f64) -> bool {
    let mixed: Vec<f64> = x.iter().zip(y).map(|(x, y)| a * x + y).collect();
    let expected = f(x).into_iter().zip(f(y)).map(|(x, y)| a * x + y);
    // Values up to 1e4 with a few rounding errors each.
    f(&mixed).into_iter().zip(expected).all(|(own, sum)| (own - sum).abs() < 1e-8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn filters_and_resampling_are_linear(x in signal(300), y in signal(300), a in -9.0..9.0) {
        let filter = butterworth(2, Band::Pass(0.5, 40.0), 500.0).expect("a filter");
        let causal = |x: &[f64]| {
            let mut out = x.to_vec();
            filter.filter(&mut out, &mut filter.rest()).expect("its own state");
            out
        };
        prop_assert!(is_linear(causal, &x, &y, a));
        let both_ways = |x: &[f64]| {
            let mut out = x.to_vec();
            filter.filter_both_ways(&mut out, 30).expect("filters");
            out
        };
        prop_assert!(is_linear(both_ways, &x, &y, a));
        let fft = FftResampler::new(300, 77).expect("a plan");
        prop_assert!(is_linear(|x| fft.resample(x).expect("resamples"), &x, &y, a));
        let poly = PolyResampler::new(5, 36).expect("a plan");
        prop_assert!(is_linear(|x| poly.resample(x).expect("resamples"), &x, &y, a));
    }

    #[test]
    fn plots_are_symmetric_with_zero_diagonal(
        x in signal(20..60), dimension in 1usize..5, delay in 1usize..4,
    ) {
        let plot = RecurrencePlot::new(dimension, delay).expect("a plot").of(&x).expect("plots");
        prop_assert_eq!(&plot, &plot.t());
        prop_assert!(plot.diag().iter().all(|value| *value == 0.0));
        // Neither polarity nor an offset is visible.
        let other: Vec<f64> = x.iter().map(|value| 512.0 - value).collect();
        let other = RecurrencePlot::new(dimension, delay).expect("a plot").of(&other);
        let error = worst(other.expect("plots").view().into_dyn(), plot.view().into_dyn());
        prop_assert!(error < 1e-12);
    }

    #[test]
    fn zoom_to_the_same_size_changes_nothing(x in signal(60)) {
        let x = ArrayD::from_shape_vec(vec![3, 4, 5], x).expect("60 values");
        let zoom = SplineZoom::new(3).expect("a zoom");
        let same = zoom.zoom(x.view(), &[3, 4, 5]).expect("zooms");
        prop_assert!(worst(same.view(), x.view()) < 1e-14);
    }

    #[test]
    fn slices_are_symmetric_and_scratch_makes_no_difference(first in window(), second in window()) {
        let plan = ImagePlan::new(&ConvertConfig::published()).expect("a plan");
        let fresh = plan.volume_of_window(second.view()).expect("a volume");
        for slice in fresh.outer_iter() {
            prop_assert_eq!(slice, slice.t());
        }
        let mut scratch = Scratch::new();
        let mut used = Array3::zeros((45, 45, 45));
        plan.volume_of_window_into(first.view(), used.view_mut(), &mut scratch).expect("a volume");
        plan.volume_of_window_into(second.view(), used.view_mut(), &mut scratch).expect("a volume");
        prop_assert_eq!(&used, &fresh);
        // Nor does the memory layout of the arrays change the result.
        let mut turned = Array3::zeros((45, 45, 45).f());
        let window = second.t().to_owned();
        plan.volume_of_window_into(window.t(), turned.view_mut(), &mut scratch).expect("a volume");
        prop_assert_eq!(&turned, &fresh);
    }

    #[test]
    fn subsets_are_sums_of_leads(window in window(), bits in 0u32..4096) {
        let plan = ImagePlan::new(&ConvertConfig::published()).expect("a plan");
        let images = plan.images(window.view()).expect("images");
        let masks: Vec<_> = (0..12).map(|k| LeadMask(1 << k)).chain([LeadMask(bits)]).collect();
        let volumes = subsets(&plan, &images, &masks, 5);
        let sum = (0..12).filter(|k| bits >> k & 1 == 1)
            .fold(Array3::<f64>::zeros((45, 45, 45)), |sum, k| sum + volumes.index_axis(Axis(0), k));
        let own = volumes.index_axis(Axis(0), 12);
        prop_assert!((&own - &sum).iter().all(|difference| difference.abs() < 1e-9));
        // The same as converting the window with those leads set to zero.
        let mut masked = window.clone();
        for k in (0..12).filter(|k| bits >> k & 1 == 0) {
            masked.row_mut(k).fill(0.0);
        }
        let direct = plan.volume_of_window(masked.view()).expect("a volume");
        prop_assert_eq!(own, direct);
        // With a threshold, a lead of zeros is recurrent throughout, and volumes are not sums.
        for threshold in [Threshold::Distance { distance: 400.0 }, Threshold::Rate { rate: 0.1 }] {
            let config = ConvertConfig::published().with_threshold(threshold);
            let plan = ImagePlan::new(&config).expect("a plan");
            let mut images = plan.images(window.view()).expect("images");
            let own = subsets(&plan, &images, &[LeadMask(bits)], 1);
            let own = own.index_axis(Axis(0), 0);
            let direct = plan.volume_of_window(masked.view()).expect("a volume");
            prop_assert!((&own - &direct).iter().all(|difference| difference.abs() < 1e-12));
            for k in (0..12).filter(|k| bits >> k & 1 == 0) {
                images.index_axis_mut(Axis(0), k).fill(1.0);
            }
            prop_assert_eq!(own, plan.volume(images.view()).expect("a volume"));
        }
    }
}

fn subsets(plan: &ImagePlan, images: &Array3<f64>, masks: &[LeadMask], room: usize) -> Array4<f64> {
    let mut out = Array4::zeros((masks.len(), 45, 45, 45));
    let mut buffer = Array4::zeros((room, 45, 45, 45));
    let mut scratch = Scratch::new();
    plan.volumes_of_subsets(
        images.view(),
        masks,
        buffer.view_mut(),
        &mut scratch,
        |start, part| {
            out.slice_mut(s![start..start + part.len_of(Axis(0)), .., .., ..]).assign(&part);
            Ok::<(), ConvertError>(())
        },
    )
    .expect("volumes");
    out
}

#[test]
fn masks_and_buffers_are_checked() {
    let plan = ImagePlan::new(&ConvertConfig::published()).expect("a plan");
    let images = Array3::<f32>::zeros((12, 45, 45));
    let call = |masks: &[LeadMask], shape: [usize; 4]| {
        plan.volumes_of_subsets(
            images.view(),
            masks,
            Array4::zeros(shape).view_mut(),
            &mut Scratch::new(),
            |_, _| Ok::<(), ConvertError>(()),
        )
    };
    let beyond = call(&[LeadMask(1), LeadMask(1 << 12)], [1, 45, 45, 45]);
    assert_eq!(beyond, Err(ConvertError::Mask { mask: 1, lead: 12, leads: 12 }));
    assert!(call(&[LeadMask(1)], [0, 45, 45, 45]).is_err());
    assert!(call(&[LeadMask(1)], [1, 45, 45, 44]).is_err());
    // A mask has 32 bits, so it could not keep the last lead.
    let config = ConvertConfig::published().with_leads(LeadSelection::File { count: 33 });
    let plan = ImagePlan::new(&config.with_volume_size([33, 4, 4])).expect("a plan");
    let many = plan.volumes_of_subsets(
        Array3::<f64>::zeros((33, 4, 4)).view(),
        &[LeadMask(1)],
        Array4::zeros((1, 33, 4, 4)).view_mut(),
        &mut Scratch::new(),
        |_, _| Ok::<(), ConvertError>(()),
    );
    assert_eq!(many, Err(ConvertError::MaskLeads { leads: 33, most: 32 }));
}

#[test]
fn any_number_of_leads_samples_and_sizes() {
    let config = ConvertConfig::published()
        .with_leads(LeadSelection::File { count: 3 })
        .with_first_samples(Some(333))
        .with_resample(ecg3d_convert::Resample::Fft { samples: 41 })
        .with_embedding_dimension(3)
        .with_embedding_delay(2)
        .with_volume_size([5, 20, 31]);
    let recording = recording(synthetic_adc(400), 500.0);
    let plan = ConvertPlan::new(config, recording.sampling_rate).expect("a plan");
    let mut prepared = Array2::<f64>::zeros((3, 41));
    plan.prepare_into(&recording, prepared.view_mut(), &mut Scratch::new()).expect("prepares");
    let plots: Vec<_> = prepared
        .rows()
        .into_iter()
        .map(|row| {
            let plot = RecurrencePlot::new(3, 2).expect("a plot");
            plot.of(row.as_slice().expect("a row")).expect("distances")
        })
        .collect();
    let views: Vec<_> = plots.iter().map(|plot| plot.view()).collect();
    let plots = ndarray::stack(Axis(0), &views).expect("equal shapes").into_dyn();
    let zoom = SplineZoom::new(3).expect("a zoom");
    let expected = zoom.zoom(plots.view(), &[5, 20, 31]).expect("zooms");
    let own = plan.image_plan().volume_of_window(prepared.view()).expect("a volume");
    assert!(worst(own.view().into_dyn(), expected.view()) < 1e-12);
}
