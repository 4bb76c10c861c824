use ecg3d_convert::{
    ConvertConfig, ConvertError, ImagePlan, LeadSelection, Metric, RecurrencePlot, Resample,
    SplineZoom, Threshold,
};
use ndarray::{Array2, Axis};
use proptest::prelude::*;

use crate::support::assert_close;

const METRICS: [Metric; 3] = [Metric::Euclidean, Metric::Maximum, Metric::Manhattan];

fn planned(dimension: usize, delay: usize, metric: Metric) -> RecurrencePlot {
    RecurrencePlot::new(dimension, delay).expect("a plot").with_metric(metric)
}

fn with_rate(plot: RecurrencePlot, rate: f64) -> RecurrencePlot {
    plot.with_threshold(Threshold::Rate { rate }).expect("a rate")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn symmetric_with_zero_diagonal_for_every_metric(
        x in prop::collection::vec(-1e3..1e3, 20..50), dimension in 1usize..5, delay in 1usize..4,
    ) {
        let [euclidean, maximum, manhattan] =
            METRICS.map(|metric| planned(dimension, delay, metric).of(&x).expect("plots"));
        for plot in [&euclidean, &maximum, &manhattan] {
            prop_assert_eq!(plot, &plot.t());
            prop_assert!(plot.diag().iter().all(|value| *value == 0.0));
        }
        // For finite vectors, each of these norms bounds the one before it.
        for ((maximum, euclidean), manhattan) in maximum.iter().zip(&euclidean).zip(&manhattan) {
            prop_assert!(*maximum <= euclidean * (1.0 + 1e-15));
            prop_assert!(*euclidean <= manhattan * (1.0 + 1e-15));
            prop_assert!(*manhattan <= maximum * dimension as f64 * (1.0 + 1e-15));
        }
    }

    #[test]
    fn the_rate_is_the_least_that_reaches_what_is_asked(
        // Few values, so that many distances are equal.
        x in prop::collection::vec(-4i8..4, 12..40), rate in 0.001..1.0, which in 0usize..3,
    ) {
        let x: Vec<f64> = x.into_iter().map(f64::from).collect();
        let plot = planned(2, 1, METRICS[which]);
        let distances = plot.of(&x).expect("plots");
        let found = with_rate(plot, rate).of(&x).expect("plots");
        prop_assert_eq!(&found, &found.t());
        prop_assert!(found.diag().iter().all(|value| *value == 1.0));
        let n = distances.nrows();
        let pairs: Vec<_> =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|at| (distances[at], found[at])).collect();
        let recurrent = pairs.iter().filter(|pair| pair.1 == 1.0);
        let count = recurrent.clone().count();
        prop_assert!(count as f64 >= rate * pairs.len() as f64);
        // Without the distances equal to the largest one, there would be too few.
        let limit = recurrent.map(|pair| pair.0).fold(0.0, f64::max);
        prop_assert!(pairs.iter().all(|pair| (pair.0 <= limit) == (pair.1 == 1.0)));
        let fewer = pairs.iter().filter(|pair| pair.0 < limit).count();
        prop_assert!((fewer as f64) < rate * pairs.len() as f64);
    }
}

#[test]
fn known_plots() {
    let x = [0.0_f64, 1.0, 3.0, 2.0, 2.0];
    let states = [[0.0, 3.0], [1.0, 2.0], [3.0, 2.0]]; // dimension 2, delay 2
    for (metric, norm) in [
        (Metric::Euclidean, (|a, b| f64::hypot(a, b)) as fn(f64, f64) -> f64),
        (Metric::Maximum, |a, b| f64::max(a.abs(), b.abs())),
        (Metric::Manhattan, |a, b| a.abs() + b.abs()),
    ] {
        let plot = planned(2, 2, metric).of(&x).expect("plots");
        assert_eq!(plot.dim(), (3, 3));
        for ((i, j), value) in plot.indexed_iter() {
            let expected = norm(states[i][0] - states[j][0], states[i][1] - states[j][1]);
            approx::assert_relative_eq!(*value, expected, max_relative = 1e-15);
        }
        assert_eq!(metric.to_string().parse(), Ok(metric));
    }
}

#[test]
fn flat_short_and_faulty_signals() {
    let plot = with_rate(planned(2, 1, Metric::Maximum), 0.1);
    assert_eq!(plot.of(&[5.0_f32; 9]).expect("plots"), Array2::<f32>::ones((8, 8)));
    // One state, and so no pair.
    assert_eq!(plot.of(&[5.0, 6.0]).expect("plots"), ndarray::arr2(&[[1.0]]));
    let error = plot.of(&[5.0_f64]).expect_err("too short").to_string();
    assert_eq!(error, "a recurrence plot needs at least 2 values, found 1");
    for metric in METRICS {
        let error = planned(2, 3, metric).of(&[0.0_f32; 16_388]).expect_err("too long").to_string();
        let what = "the number of states of a recurrence plot";
        assert_eq!(error, format!("{what} is 16385, expected at most 16,384"));
        let error = planned(9, usize::MAX, metric).of(&[0.0_f32; 9]).expect_err("too short");
        assert!(matches!(error, ConvertError::Length { found: 9, .. }), "{metric}");
    }
    for metric in METRICS {
        let x = [1.0, f64::NAN, 1.0, 1.0, 1.0];
        let distances = planned(1, 1, metric).of(&x).expect("plots");
        assert!(distances.row(1).iter().all(|value| value.is_nan()), "{metric}");
        let found = with_rate(planned(1, 1, metric), 0.5).of(&x).expect("plots");
        assert!(found.row(1).iter().all(|value| *value == 0.0), "{metric}");
        assert_eq!(found[[0, 4]], 1.0);
    }
    let plot = planned(1, 1, Metric::Euclidean);
    for rate in [0.0, -0.5, 1.5, f64::NAN] {
        assert!(plot.with_threshold(Threshold::Rate { rate }).is_err());
    }
    for distance in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(plot.with_threshold(Threshold::Distance { distance }).is_err());
    }
    assert!(RecurrencePlot::new(0, 1).is_err());
    assert!("chebyshev".parse::<Metric>().is_err());
}

#[test]
fn conversions_use_metric_and_threshold() {
    let window = Array2::from_shape_fn((3, 40), |(lead, t)| {
        ((t * t * (lead + 2) + 5 * t) % 61) as f64 / 8.0 - 4.0
    });
    let thresholds = [
        Threshold::None,
        Threshold::Distance { distance: 2.0 },
        Threshold::Rate { rate: 0.15 },
        Threshold::Rate { rate: 1.0 },
    ];
    for metric in METRICS {
        for threshold in thresholds {
            for (dimension, delay) in [(1, 1), (2, 1), (3, 2)] {
                let config = ConvertConfig::published()
                    .with_leads(LeadSelection::File { count: 3 })
                    .with_resample(Resample::Fft { samples: 40 })
                    .with_embedding_dimension(dimension)
                    .with_embedding_delay(delay)
                    .with_metric(metric)
                    .with_threshold(threshold);
                let plot = planned(dimension, delay, metric);
                let plot = plot.with_threshold(threshold).expect("a threshold");
                let plots: Vec<_> = window
                    .rows()
                    .into_iter()
                    .map(|row| plot.of(&row.to_vec()).expect("plots"))
                    .collect();
                let views: Vec<_> = plots.iter().map(|plot| plot.view()).collect();
                let plots = ndarray::stack(Axis(0), &views).expect("equal shapes");
                // Square and not square, within one strip of the inner loops and over several.
                for size in [[5, 21, 30], [5, 24, 24], [4, 71, 83], [2, 150, 150]] {
                    let zoom = SplineZoom::new(3).expect("a zoom");
                    let expected = zoom.zoom(plots.view().into_dyn(), &size).expect("zooms");
                    let config = config.clone().with_volume_size(size);
                    let own = ImagePlan::new(&config).expect("a plan");
                    let volume = own.volume_of_window(window.view()).expect("a volume");
                    let what = format!("{metric}, {threshold:?}, {dimension}, {delay}, {size:?}");
                    assert_close(&what, volume.view().into_dyn(), expected.view(), 1e-12);
                }
                // At the plots' own size they come through unchanged.
                let n = plots.len_of(Axis(1));
                let same = ImagePlan::new(&config.with_volume_size([3, n, n])).expect("a plan");
                let volume = same.volume_of_window(window.view()).expect("a volume");
                let what = format!("{metric}, {threshold:?}, {dimension}, {delay}");
                assert_close(&what, volume.view().into_dyn(), plots.view().into_dyn(), 1e-12);
            }
        }
    }
}

#[test]
fn windows_that_overflow_are_refused() {
    let window = |peak: f32| {
        Array2::from_shape_fn((12, 100), |(lead, t)| match (lead, t % 3) {
            (7, 0) => -peak,
            (7, _) => peak,
            _ => t as f32,
        })
    };
    for (metric, fits, beyond) in [
        // For the Euclidean distance the squares overflow; for the others, the sums and what the splines make of them.
        (Metric::Euclidean, 1e18, 1e19),
        (Metric::Maximum, 1e36, 1e38),
        (Metric::Manhattan, 1e36, 1e38),
    ] {
        for threshold in [Threshold::None, Threshold::Rate { rate: 0.5 }] {
            let config = ConvertConfig::published().with_metric(metric).with_threshold(threshold);
            let plan = ImagePlan::new(&config).expect("a plan");
            let volume = plan.volume_of_window(window(fits).view()).expect("a volume");
            assert!(volume.iter().all(|value| value.is_finite()), "{metric}, {threshold:?}");
            for peak in [beyond, f32::INFINITY] {
                let value = f64::from(peak);
                let error = Err(ConvertError::Overflow { lead: 7, value });
                assert_eq!(plan.volume_of_window(window(peak).view()), error, "{metric}");
                assert!(plan.images(window(peak).view()).is_err(), "{metric}");
            }
        }
    }
}

/// It does not matter which sample of a state is NaN.
#[test]
fn states_without_a_number_are_never_recurrent() {
    for metric in [Metric::Euclidean, Metric::Maximum, Metric::Manhattan] {
        for signal in [[0.0, f64::NAN, 2.0, 2.0, 2.0], [2.0, 2.0, 2.0, f64::NAN, 0.0]] {
            let plot = RecurrencePlot::new(2, 1).expect("a plot").with_metric(metric);
            let states = plot.of(&signal).expect("four states");
            let broken = |k: usize| signal[k].is_nan() || signal[k + 1].is_nan();
            for ((i, j), distance) in states.indexed_iter() {
                assert_eq!(distance.is_nan(), broken(i) || broken(j), "{metric:?} {i} {j}");
            }
        }
    }
}
