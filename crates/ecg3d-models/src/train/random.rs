use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The purpose of a stream of random numbers; streams of different purposes never coincide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// The order of the records in an epoch.
    Order = 1,
    /// The window and the augmentation of one record in one epoch, or of one occurrence of a row given several times.
    Record = 2,
    /// libtorch's own generator (dropout) in one epoch.
    Torch = 3,
    /// The records to which fresh parameters are fitted.
    Start = 5,
}

/// Random numbers that depend only on (seed, purpose, epoch, item), not on what was drawn before.
///
/// An epoch that is repeated after a crash therefore draws the same numbers, with any number of threads.
#[derive(Debug, Clone)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(seed: u64, purpose: Purpose, epoch: usize, item: usize) -> Self {
        let mut key = [0; 32];
        let words = [seed, purpose as u64, epoch as u64, item as u64];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number from 0 to `n - 1`; 0 for `n = 0`. The bias of the multiplication is below 2^-64 n.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Returns a uniform number in [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a standard normal number (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Shuffles in place (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_their_key_alone() {
        let draw = |seed, purpose, epoch, item| Stream::new(seed, purpose, epoch, item).bits();
        let base = draw(1, Purpose::Order, 2, 3);
        assert_eq!(base, draw(1, Purpose::Order, 2, 3));
        for other in [
            draw(2, Purpose::Order, 2, 3),
            draw(1, Purpose::Record, 2, 3),
            draw(1, Purpose::Order, 3, 3),
            draw(1, Purpose::Order, 2, 4),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Stream::new(5, Purpose::Order, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut stream = Stream::new(7, Purpose::Record, 0, 0);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..20_000 {
            let x = stream.normal();
            sum += x;
            squares += x * x;
        }
        // Five standard errors for 20,000 draws.
        assert!((sum / 20_000.0).abs() < 0.036, "{sum}");
        assert!((squares / 20_000.0 - 1.0).abs() < 0.05, "{squares}");
    }
}
