use super::gradient::transposed;
use super::*;

#[test]
fn rows_and_columns_are_exchanged() {
    let rows = std::array::from_fn(|y| std::array::from_fn(|x| Bf16::put((y * LANES + x) as f32)));
    let found = transposed(rows);
    for (y, row) in found.iter().enumerate() {
        for (x, value) in row.iter().enumerate() {
            assert_eq!(value.get(), (x * LANES + y) as f32, "row {y}, column {x}");
        }
    }
}
