//! Keras's initialisers from a seed, with the same numbers on every machine.
//!
//! They use only additions, multiplications, divisions and square roots of `f64`, and the logarithm of the `libm`
//! crate, so nothing depends on the platform's own mathematics library.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a parameter is initialised. Shapes are Keras's: `[kernel.., input, output]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Init {
    Zeros,
    Ones,
    /// Uniform within +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, AISTATS 2010).
    GlorotUniform,
    /// Normal with variance 2 / fan_in, truncated at two standard deviations (He et al., ICCV 2015).
    HeNormal,
    /// Orthonormal rows or columns, whichever are fewer (Saxe et al., ICLR 2014).
    Orthogonal,
    /// Gates i, f, c, o: one for the forget gate, zero for the others.
    ForgetGate,
}

/// Standard deviation of a standard normal distribution after truncation at two.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

impl Init {
    /// Returns the values in C order. `stream` is the parameter's index in the network: each has its own random stream.
    pub(crate) fn values(self, shape: &[usize], seed: u64, stream: u64) -> Vec<f32> {
        let n = shape.iter().product();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let (fan_in, fan_out) = fans(shape);
        match self {
            Init::Zeros => vec![0.0; n],
            Init::Ones => vec![1.0; n],
            Init::GlorotUniform => {
                let limit = (6.0 / (fan_in + fan_out)).sqrt();
                (0..n).map(|_| (limit * (2.0 * uniform(&mut rng) - 1.0)) as f32).collect()
            }
            Init::HeNormal => {
                let deviation = (2.0 / fan_in).sqrt() / TRUNCATED_DEVIATION;
                (0..n).map(|_| (deviation * truncated_normal(&mut rng)) as f32).collect()
            }
            Init::Orthogonal => orthogonal(&mut rng, shape),
            Init::ForgetGate => {
                (0..n).map(|k| if (n / 4..n / 2).contains(&k) { 1.0 } else { 0.0 }).collect()
            }
        }
    }
}

/// Returns fan_in and fan_out of a weight: the size of the receptive field times the number of channels.
fn fans(shape: &[usize]) -> (f64, f64) {
    match shape {
        [field @ .., input, output] => {
            let field: usize = field.iter().product();
            ((field * input) as f64, (field * output) as f64)
        }
        _ => (shape.iter().product::<usize>() as f64, shape.iter().product::<usize>() as f64),
    }
}

/// Returns a uniform number in [0, 1), with 53 bits.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Returns a normal number by Marsaglia's polar method; the second value of each pair is discarded.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let x = 2.0 * uniform(rng) - 1.0;
        let y = 2.0 * uniform(rng) - 1.0;
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            return x * (-2.0 * libm::log(s) / s).sqrt();
        }
    }
}

fn truncated_normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let x = normal(rng);
        if x.abs() < 2.0 {
            return x;
        }
    }
}

/// Returns the orthogonal factor of a normal matrix `[prod(shape[..-1]), shape[-1]]`, by Gram-Schmidt done twice.
///
/// If the transpose of the matrix is taller, it is used instead. The diagonal of R is positive.
fn orthogonal(rng: &mut ChaCha8Rng, shape: &[usize]) -> Vec<f32> {
    let cols = shape.last().copied().unwrap_or(1);
    let rows = shape.iter().product::<usize>() / cols.max(1);
    let (count, length) = (rows.min(cols), rows.max(cols));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..length).map(|_| normal(rng)).collect();
        for _ in 0..2 {
            for b in &basis {
                let along: f64 = b.iter().zip(&v).map(|(b, v)| b * v).sum();
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
            }
        }
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
        basis.push(v);
    }
    (0..rows * cols)
        .map(|k| {
            let (r, c) = (k / cols, k % cols);
            (if rows >= cols { basis[c][r] } else { basis[r][c] }) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glorot_stays_within_its_limit_and_fills_it() {
        let v = Init::GlorotUniform.values(&[3, 3, 2, 64], 1, 0);
        let limit = (6.0f32 / (18.0 + 576.0)).sqrt();
        assert!(v.iter().all(|x| x.abs() <= limit));
        assert!(v.iter().any(|x| *x > 0.9 * limit) && v.iter().any(|x| *x < -0.9 * limit));
    }

    #[test]
    fn he_normal_has_its_deviation_after_the_cut() {
        let v = Init::HeNormal.values(&[16, 12, 512], 1, 0);
        let variance = v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / v.len() as f64;
        let expected = 2.0 / (16.0 * 12.0);
        // 98304 draws: the relative error of a variance is about sqrt(2/n) = 0.5 %.
        assert!((variance / expected - 1.0).abs() < 0.02, "{variance} against {expected}");
    }

    #[test]
    fn orthogonal_columns_or_rows() {
        for shape in [[3, 3, 4, 16], [1, 1, 4, 16]] {
            let v = Init::Orthogonal.values(&shape, 5, 3);
            let (rows, cols) = (shape[..3].iter().product::<usize>(), shape[3]);
            let at = |r: usize, c: usize| f64::from(v[r * cols + c]);
            let n = rows.min(cols);
            for i in 0..n {
                for j in 0..n {
                    let dot: f64 = if rows >= cols {
                        (0..rows).map(|r| at(r, i) * at(r, j)).sum()
                    } else {
                        (0..cols).map(|c| at(i, c) * at(j, c)).sum()
                    };
                    let expected = if i == j { 1.0 } else { 0.0 };
                    // The values are f32.
                    assert!((dot - expected).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn streams_differ_and_seeds_repeat() {
        let a = Init::HeNormal.values(&[4, 4], 7, 0);
        assert_eq!(a, Init::HeNormal.values(&[4, 4], 7, 0));
        assert_ne!(a, Init::HeNormal.values(&[4, 4], 7, 1));
        assert_ne!(a, Init::HeNormal.values(&[4, 4], 8, 0));
        // A value that other machines must reproduce.
        assert_eq!(Init::ForgetGate.values(&[8], 0, 0), [0., 0., 1., 1., 0., 0., 0., 0.]);
    }
}
