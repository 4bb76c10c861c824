//! Derives the sampling rate from a column of times.

use std::path::Path;

use crate::IoError;

/// Returns the rate in Hz of evenly spaced times in seconds, each given with its line.
///
/// Printed times are rounded, so a whole number of Hz is returned if it fits the times as well as their mean spacing
/// does.
pub(super) fn rate_of(times: &[(u64, f64)], path: &Path) -> Result<f64, IoError> {
    let no_rate = || IoError::NoSamplingRate { path: path.to_owned() };
    let ([(_, first), .., (_, last)], n) = (times, times.len()) else { return Err(no_rate()) };
    let refuse = |line, found, expected| {
        Err(IoError::Field { path: path.to_owned(), line, field: "time", found, expected })
    };
    if let Some(pair) = times.windows(2).find(|pair| pair[1].1 <= pair[0].1) {
        let (line, time) = pair[1];
        return refuse(line, format!("{time} s"), "a later time than the one before");
    }
    let step = (last - first) / (n - 1) as f64;
    if !step.is_finite() || !(1.0 / step).is_finite() {
        let found = format!("{step:e} s between samples");
        return refuse(times[1].0, found, "a finite step with a finite sampling rate");
    }
    // A missing sample doubles a distance; rounding seldom changes it by half or more.
    let mut distances: Vec<f64> = times.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    distances.sort_by(f64::total_cmp);
    let usual = distances[distances.len() / 2];
    let mut odd = times.windows(2).filter(|pair| {
        let distance = pair[1].1 - pair[0].1;
        !(distance > 0.5 * usual && distance < 1.5 * usual)
    });
    if let Some(pair) = odd.next() {
        // A single odd distance is a missing sample, even where rounding could explain it.
        if let Some(whole) = odd.next().and_then(|_| rounded_rate(times, *first, step)) {
            return Ok(whole);
        }
        let ((_, before), (line, found)) = (pair[0], pair[1]);
        let expected = before + usual;
        return Err(IoError::UnevenTime { path: path.to_owned(), line, found, expected });
    }
    let deviation = |step: f64| {
        let expected = (0_u32..).map(move |k| first + f64::from(k) * step);
        times.iter().zip(expected).map(|((_, time), expected)| (time - expected).abs())
    };
    let largest = deviation(step).fold(0.0, f64::max);
    let rate = 1.0 / step;
    let whole = rate.round();
    // Allow for a few roundings of binary numbers in addition to those of the decimals: times may count from 1970.
    let slack = 2.0 * largest + 4.0 * f64::EPSILON * last.abs().max(step);
    let fits = whole >= 1.0 && deviation(1.0 / whole).all(|distance| distance <= slack);
    Ok(if fits { whole } else { rate })
}

/// Returns the whole number of Hz whose times, rounded to the first digit of their mean distance `step`, are these:
/// such as 512 Hz, with milliseconds that are 1 or 2 apart.
fn rounded_rate(times: &[(u64, f64)], first: f64, step: f64) -> Option<f64> {
    let (whole, unit) = ((1.0 / step).round(), 10_f64.powi(step.log10().floor() as i32));
    // Numbers that count seconds from 1970 are inexact.
    let slack = 1e-3 * unit;
    let (mut low, mut high) = (0.0_f64, 0.0_f64);
    for (&(_, time), k) in times.iter().zip(0_u32..) {
        let off = time - first - f64::from(k) / whole;
        (low, high) = (low.min(off), high.max(off));
        let is_rounded = ((time / unit).round() * unit - time).abs() <= slack;
        if !is_rounded || high - low > unit + 2.0 * slack {
            return None;
        }
    }
    (whole >= 1.0).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(times: impl Iterator<Item = f64>) -> Result<f64, IoError> {
        rate_of(&(2..).zip(times).collect::<Vec<_>>(), Path::new("r.csv"))
    }

    #[test]
    fn exact_and_rounded_times() {
        assert_eq!(rate((0..5000).map(|k| f64::from(k) / 500.0)).expect("even"), 500.0);
        // 360 Hz with three decimals.
        let rounded = (0..3600).map(|k| (f64::from(k) / 360.0 * 1e3).round() / 1e3);
        assert_eq!(rate(rounded).expect("even"), 360.0);
        let odd = rate((0..1000).map(|k| 5.0 + f64::from(k) / 62.4725)).expect("even");
        assert!((odd - 62.4725).abs() < 1e-9);
        let near = rate((0..5000).map(|k| f64::from(k) / 250.01)).expect("even");
        assert!((near - 250.01).abs() < 1e-9, "not rounded to 250: {near}");
    }

    #[test]
    fn times_with_few_decimals() {
        let rounded = |hz: f64, n: u32, unit: f64, start: f64| -> Vec<f64> {
            (0..n).map(|k| start + (f64::from(k) / hz / unit).round() * unit).collect()
        };
        for hz in [450.0, 480.0, 512.0, 600.0, 720.0, 800.0, 900.0, 977.0, 999.0] {
            for start in [0.0, 12.345, 1_700_000_000.0] {
                let times = rounded(hz, 10 * hz as u32, 1e-3, start);
                assert_eq!(rate(times.into_iter()).expect("even"), hz, "{start}");
            }
            // The first time is rounded, too.
            let times = rounded(hz, 10 * hz as u32, 1e-3, 0.0).into_iter();
            assert_eq!(rate(times.skip(1234)).expect("even"), hz);
        }
        assert_eq!(rate(rounded(64.0, 640, 1e-2, 0.0).into_iter()).expect("even"), 64.0);
        let uneven = |times: &mut dyn Iterator<Item = f64>| {
            assert!(matches!(rate(times), Err(IoError::UnevenTime { .. })));
        };
        // Missing samples, also in tables so short that their mean distance is about that of another rate.
        for hz in [500.0, 512.0, 720.0, 1000.0] {
            for n in [hz as usize / 2, hz as usize, 10 * hz as usize] {
                let times = rounded(hz, n as u32, 1e-3, 0.0).into_iter().enumerate();
                for gap in [n / 3, n / 2, n - 2] {
                    let mut times = times.clone().filter(|(k, _)| *k != gap).map(|(_, time)| time);
                    uneven(&mut times);
                }
            }
        }
        // Every fifth sample is missing; times that are not rounded.
        uneven(&mut (0..1000_u32).filter(|k| k % 5 != 4).map(|k| f64::from(k) / 500.0));
        uneven(&mut (0..1000_u32).map(|k| (f64::from(k) + 0.4 * f64::from(k % 2)) / 512.0));
    }

    #[test]
    fn times_since_1970() {
        let start = 1_700_000_000.0;
        for hz in [25.4, 62.4725, 128.0, 130.4, 250.01, 250.4, 360.0, 500.0] {
            // Ten seconds of times as numbers are stored, starting at a whole second and not, and with few decimals.
            let n = (10.0 * hz) as u32;
            for (offset, decimals) in [(0.0, 1e9), (0.123_456_7, 1e9), (0.0, 1e3), (0.123, 1e3)] {
                let times = (0..n).map(|k| offset + f64::from(k) / hz);
                let times = times.map(|time| start + (time * decimals).round() / decimals);
                let found = rate(times).expect("even");
                if hz.fract() == 0.0 {
                    assert_eq!(found, hz, "{offset}, {decimals}");
                } else if decimals > 1e3 {
                    assert!((found - hz).abs() < 1e-4, "{found}, not {hz}, {offset}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_even_is_refused_with_its_line() {
        let missing = (0..100).filter(|k| *k != 60).map(f64::from);
        assert!(matches!(rate(missing), Err(IoError::UnevenTime { line: 62, .. })));
        let refused: [(&[f64], u64); 3] =
            [(&[0.0, 0.0, 0.0], 3), (&[1.0, 2.0, 0.0], 4), (&[0.0, 1.0, 1.0, 9.0], 4)];
        for (times, line) in refused {
            let error = rate(times.iter().copied()).expect_err("does not increase");
            assert!(matches!(error, IoError::Field { line: at, field: "time", .. } if at == line));
            assert!(error.to_string().ends_with("expected a later time than the one before"));
        }
        let huge = rate([-1e308, 1e308].into_iter());
        assert!(matches!(huge, Err(IoError::Field { line: 3, field: "time", .. })));
        let tiny = rate([0.0, 1e-310].into_iter());
        assert!(matches!(tiny, Err(IoError::Field { line: 3, field: "time", .. })));
        assert!(matches!(rate([1.0].into_iter()), Err(IoError::NoSamplingRate { .. })));
    }
}
