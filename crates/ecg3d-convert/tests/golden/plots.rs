use ecg3d_convert::{Metric, Recurrence, RecurrencePlot, Threshold};
use proptest::prelude::*;

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
        // The norms of finite vectors, one above the other.
        for ((maximum, euclidean), manhattan) in maximum.iter().zip(&euclidean).zip(&manhattan) {
            prop_assert!(*maximum <= euclidean * (1.0 + 1e-15));
            prop_assert!(*euclidean <= manhattan * (1.0 + 1e-15));
            prop_assert!(*manhattan <= maximum * dimension as f64 * (1.0 + 1e-15));
        }
        let quick = Recurrence::new(dimension, delay).expect("a plot").distances(&x);
        prop_assert_eq!(quick.expect("plots"), euclidean);
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
        // One distance less, with all its ties, would be too few.
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
    assert_eq!(plot.of(&[5.0_f32; 9]).expect("plots"), ndarray::Array2::<f32>::ones((8, 8)));
    // One state, and so no pair.
    assert_eq!(plot.of(&[5.0, 6.0]).expect("plots"), ndarray::arr2(&[[1.0]]));
    let error = plot.of(&[5.0_f64]).expect_err("too short").to_string();
    assert_eq!(error, "a recurrence plot needs at least 2 values, found 1");
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
