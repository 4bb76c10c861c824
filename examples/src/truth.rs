use ecg_core::LabelSet;
use ecg_io::is_contradictory;
use ndarray::ArrayView2;

/// Counts the rows of `truth`, `[record, label]`, that have NSR together with AF, SB or STach.
pub fn contradictory(labels: &LabelSet, truth: ArrayView2<'_, bool>) -> usize {
    truth.rows().into_iter().filter(|row| is_contradictory(labels, &row.to_vec())).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_normal_rhythm_beside_another_is_counted() {
        let truth = array![[true, true, false], [false, true, true], [true, false, true]];
        let count =
            |names: [&str; 3]| contradictory(&LabelSet::new(names).expect("labels"), truth.view());
        assert_eq!(count(["AF", "NSR", "RBBB"]), 1);
        assert_eq!(count(["NSR", "SB", "STach"]), 2);
        assert_eq!(count(["AF", "SB", "STach"]), 0);
    }
}
