//! Positions of the boxes of a diagram: rows from top to bottom by distance from the input, and columns ordered
//! by the mean position of the neighbours, which avoids most crossings.

use ecg3d_models::Summary;

/// Layers that follow one another without a branch, as indices into the summary.
pub struct Chain {
    pub layers: Vec<usize>,
    /// Chains whose outputs this one takes.
    pub inputs: Vec<usize>,
}

/// Groups the layers of a network into chains, in the order of their first layers.
pub fn chains(summary: &Summary) -> Vec<Chain> {
    let place = |name: &str| summary.layers.iter().position(|layer| layer.name == name);
    let inputs: Vec<Vec<usize>> = summary
        .layers
        .iter()
        .map(|layer| layer.inputs.iter().filter_map(|input| place(input)).collect())
        .collect();
    let takers = |k: usize| inputs.iter().flatten().filter(|input| **input == k).count();
    let mut chain_of = vec![0; inputs.len()];
    let mut chains: Vec<Chain> = Vec::new();
    for (k, own) in inputs.iter().enumerate() {
        chain_of[k] = match own[..] {
            [one] if takers(one) == 1 => chain_of[one],
            _ => {
                let inputs = own.iter().map(|input| chain_of[*input]).collect();
                chains.push(Chain { layers: Vec::new(), inputs });
                chains.len() - 1
            }
        };
        chains[chain_of[k]].layers.push(k);
    }
    chains
}

/// An item of a row: the box of a chain, or the point where a line between boxes of more distant rows passes.
struct Item {
    chain: Option<usize>,
    /// Indices of the items in the row above that lead here.
    above: Vec<usize>,
    middle: f64,
}

/// Horizontal middles of the boxes, and the lines between them.
pub struct Layout {
    /// Row and horizontal middle of each chain.
    pub places: Vec<(usize, f64)>,
    /// Lines as (chain above, horizontal middles in the rows that the line passes, from top to bottom, chain
    /// below).
    pub lines: Vec<(usize, Vec<f64>, usize)>,
}

/// Lays out chains whose boxes are `width` wide and `gap` apart. The leftmost box or line begins at 0.
pub fn layout(chains: &[Chain], width: f64, gap: f64) -> Layout {
    let mut row_of: Vec<usize> = Vec::with_capacity(chains.len());
    for chain in chains {
        row_of.push(chain.inputs.iter().map(|input| row_of[*input] + 1).max().unwrap_or(0));
    }
    let mut rows: Vec<Vec<Item>> = Vec::new();
    rows.resize_with(row_of.iter().max().map_or(0, |last| last + 1), Vec::new);
    let mut place = vec![0; chains.len()];
    let mut passed: Vec<(usize, Vec<usize>, usize)> = Vec::new();
    for (k, chain) in chains.iter().enumerate() {
        let mut above = Vec::new();
        for &input in &chain.inputs {
            let mut at = place[input];
            let mut through = Vec::new();
            for row in &mut rows[row_of[input] + 1..row_of[k]] {
                row.push(Item { chain: None, above: vec![at], middle: 0.0 });
                at = row.len() - 1;
                through.push(at);
            }
            above.push(at);
            passed.push((input, through, k));
        }
        let row = &mut rows[row_of[k]];
        row.push(Item { chain: Some(k), above, middle: 0.0 });
        place[k] = row.len() - 1;
    }

    let breadth = |item: &Item| if item.chain.is_some() { width } else { gap };
    // Down and up again, until the layout hardly changes.
    for round in 0..24 {
        let down = round % 2 == 0;
        let order: Vec<usize> =
            if down { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for r in order {
            let wanted: Vec<f64> = (0..rows[r].len())
                .map(|k| {
                    let middles: Vec<f64> = if down {
                        rows[r][k].above.iter().map(|at| rows[r - 1][*at].middle).collect()
                    } else {
                        let below = rows.get(r + 1).into_iter().flatten();
                        below.filter(|i| i.above.contains(&k)).map(|i| i.middle).collect()
                    };
                    match middles.len() {
                        0 => rows[r][k].middle,
                        n => middles.iter().sum::<f64>() / n as f64,
                    }
                })
                .collect();
            let mut order: Vec<usize> = (0..wanted.len()).collect();
            order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
            let mut offset = 0.0;
            let mut offsets = vec![0.0];
            for pair in order.windows(2) {
                offset += (breadth(&rows[r][pair[0]]) + breadth(&rows[r][pair[1]])) / 2.0 + gap;
                offsets.push(offset);
            }
            let free = order.iter().zip(&offsets).map(|(k, offset)| wanted[*k] - offset);
            let rising = rising(&free.collect::<Vec<_>>());
            for ((k, offset), value) in order.iter().zip(&offsets).zip(rising) {
                rows[r][*k].middle = value + offset;
            }
        }
    }
    let items = rows.iter().flatten();
    let left = items.map(|item| item.middle - breadth(item) / 2.0).fold(f64::INFINITY, f64::min);
    let middle = |row: usize, at: usize| rows[row][at].middle - left;
    Layout {
        places: (0..chains.len()).map(|k| (row_of[k], middle(row_of[k], place[k]))).collect(),
        lines: passed
            .into_iter()
            .map(|(from, through, to)| {
                let rows = row_of[from] + 1..;
                (from, rows.zip(through).map(|(row, at)| middle(row, at)).collect(), to)
            })
            .collect(),
    }
}

/// Returns the rising sequence nearest to the values in the sum of squares. Neighbours in the wrong order share
/// their mean.
fn rising(values: &[f64]) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &value in values {
        pools.push((value, 1));
        while let [.., (a, m), (b, n)] = pools[..] {
            if a <= b {
                break;
            }
            pools.truncate(pools.len() - 2);
            pools.push(((a * m as f64 + b * n as f64) / (m + n) as f64, m + n));
        }
    }
    pools.into_iter().flat_map(|(value, n)| std::iter::repeat_n(value, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(inputs: &[usize]) -> Chain {
        Chain { layers: Vec::new(), inputs: inputs.to_vec() }
    }

    #[test]
    fn neighbours_in_the_wrong_order_share_their_mean() {
        assert_eq!(
            rising(&[1.0, 3.0, 2.0, 0.0, 5.0]),
            [1.0, 1.6666666666666667, 1.6666666666666667, 1.6666666666666667, 5.0]
        );
        assert!(rising(&[]).is_empty());
    }

    #[test]
    fn branches_stand_side_by_side_and_a_skip_passes_between() {
        // 0 to 1 and 2; 1 to 3; 2 and 3 to 4, with a line from 2 past the row of 3.
        let chains = [chain(&[]), chain(&[0]), chain(&[0]), chain(&[1]), chain(&[2, 3])];
        let layout = layout(&chains, 100.0, 20.0);
        let rows: Vec<usize> = layout.places.iter().map(|place| place.0).collect();
        assert_eq!(rows, [0, 1, 1, 2, 3]);
        let distance = (layout.places[1].1 - layout.places[2].1).abs();
        assert!(distance >= 120.0 - 1e-9, "{distance}");
        let (from, through, to) = &layout.lines[3];
        assert_eq!((*from, through.len(), *to), (2, 1, 4));
        assert!((through[0] - layout.places[3].1).abs() >= 80.0 - 1e-9);
    }
}
