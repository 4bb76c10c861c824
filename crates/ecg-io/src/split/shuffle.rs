//! Python's random numbers.

/// Shuffles like Python's `random.seed(seed)` followed by `random.shuffle(items)` (CPython 3.2 and later).
///
/// The result agrees with Python's for lists of up to 2^32 items.
pub fn python_shuffle<T>(items: &mut [T], seed: u64) {
    let mut twister = Twister::python(seed);
    for i in (1..items.len()).rev() {
        items.swap(i, twister.below(i as u32 + 1));
    }
}

const N: usize = 624;

/// MT19937 (Matsumoto and Nishimura 1998).
struct Twister {
    state: [u32; N],
    next: usize,
}

impl Twister {
    /// Python seeds with `init_by_array`, using the number's 32-bit words as the key.
    fn python(seed: u64) -> Self {
        let words = [seed as u32, (seed >> 32) as u32];
        let key = if words[1] == 0 { &words[..1] } else { &words[..] };
        let mut state = [0_u32; N];
        state[0] = 19_650_218;
        for i in 1..N {
            let before = state[i - 1];
            state[i] =
                1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        let mix = |state: &[u32; N], i: usize, factor: u32| {
            let before = state[i - 1];
            state[i] ^ (before ^ (before >> 30)).wrapping_mul(factor)
        };
        let mut i = 1;
        let advance = |state: &mut [u32; N], i: &mut usize| {
            *i += 1;
            if *i == N {
                state[0] = state[N - 1];
                *i = 1;
            }
        };
        for j in (0..key.len()).cycle().take(N) {
            state[i] = mix(&state, i, 1_664_525).wrapping_add(key[j]).wrapping_add(j as u32);
            advance(&mut state, &mut i);
        }
        for _ in 1..N {
            state[i] = mix(&state, i, 1_566_083_941).wrapping_sub(i as u32);
            advance(&mut state, &mut i);
        }
        state[0] = 0x8000_0000;
        Self { state, next: N }
    }

    fn bits(&mut self) -> u32 {
        if self.next == N {
            for k in 0..N {
                let y = (self.state[k] & 0x8000_0000) | (self.state[(k + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[k] = self.state[(k + 397) % N] ^ (y >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Draws a number below `n > 0` as Python does: as many bits as `n` has, repeated until the number is below `n`.
    fn below(&mut self, n: u32) -> usize {
        loop {
            let drawn = self.bits() >> n.leading_zeros();
            if drawn < n {
                return drawn as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_orders_of_ten() {
        // python3 -c "import random; random.seed(S); l = list(range(10)); random.shuffle(l); print(l)"
        let orders = [
            (42, [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]),
            (0, [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]),
            (1 << 40 | 7, [0, 5, 2, 3, 6, 1, 8, 4, 7, 9]),
        ];
        for (seed, expected) in orders {
            let mut items: Vec<usize> = (0..10).collect();
            python_shuffle(&mut items, seed);
            assert_eq!(items, expected, "{seed}");
        }
    }
}
