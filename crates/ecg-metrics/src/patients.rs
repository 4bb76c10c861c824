use std::collections::HashMap;
use std::hash::Hash;

/// Which records belong to the same patient. Patients are the units that a bootstrap draws.
///
/// Records of one patient resemble each other, so drawing single records makes intervals too narrow (Field and Welsh,
/// J. R. Stat. Soc. B 69 (2007) 369).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patients {
    /// Rows of all patients, one patient after the other.
    rows: Vec<usize>,
    /// Where each patient's rows end.
    ends: Vec<usize>,
}

impl Patients {
    /// Creates patients from identifiers, one for each record, in order. A record whose patient is unknown, `None`,
    /// counts as the only one of its patient.
    ///
    /// ```
    /// let patients = ecg_metrics::Patients::from_ids([Some("p1"), None, Some("p2"), Some("p1"), None]);
    /// assert_eq!((patients.len(), patients.records()), (4, 5));
    /// ```
    pub fn from_ids<K: Eq + Hash>(ids: impl IntoIterator<Item = Option<K>>) -> Self {
        let mut numbers: HashMap<K, usize> = HashMap::new();
        let mut patients: Vec<Vec<usize>> = Vec::new();
        for (row, id) in ids.into_iter().enumerate() {
            let next = patients.len();
            let number = id.map_or(next, |id| *numbers.entry(id).or_insert(next));
            if number == patients.len() {
                patients.push(Vec::new());
            }
            patients[number].push(row);
        }
        let ends = patients.iter().scan(0, |end, rows| {
            *end += rows.len();
            Some(*end)
        });
        Self { ends: ends.collect(), rows: patients.concat() }
    }

    /// Treats each of `n` records as from a different patient. Use this if no patient is known, and say so.
    pub fn each_record(n: usize) -> Self {
        Self { rows: (0..n).collect(), ends: (1..=n).collect() }
    }

    /// Returns the number of patients.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there are no patients.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the number of records of all patients together.
    pub fn records(&self) -> usize {
        self.rows.len()
    }

    /// Returns the rows of one patient. Patients are numbered in the order of first appearance.
    pub(crate) fn rows(&self, patient: usize) -> &[usize] {
        let start = if patient == 0 { 0 } else { self.ends[patient - 1] };
        &self.rows[start..self.ends[patient]]
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Each resample has its own stream, so that the number of threads
/// changes nothing.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut seeds = Self(seed);
        Self(seeds.next() ^ Self(stream).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`; the distribution is uneven by at most n / 2^64.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_record_of_an_unknown_patient_stands_alone() {
        let patients = Patients::from_ids([None, Some("a"), None, Some("b"), Some("a")]);
        let rows: Vec<&[usize]> = (0..patients.len()).map(|own| patients.rows(own)).collect();
        assert_eq!(rows, [&[0][..], &[1, 4], &[2], &[3]]);
        assert_eq!(Patients::from_ids([None::<u32>; 3]), Patients::each_record(3));
    }

    /// The number in the description of `BootstrapOptions::seed`. Published intervals depend on the generator.
    #[test]
    fn seeds_share_a_few_resamples() {
        let streams = |seed| (0..1000).map(move |resample| Random::new(seed, resample).0);
        let distinct: HashSet<u64> = (0..20).flat_map(streams).collect();
        assert_eq!(distinct.len(), 19_791);
    }
}
