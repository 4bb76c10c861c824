//! The networks as Keras graphs, with which a weights file is compared layer by layer.
//!
//! They contain every layer of the study's programs, including those without weights, because the order in which Keras
//! lists layers depends on all of them.

use crate::Architecture;
use crate::layers::Padding;
use crate::nets::{ZHANG_STAGES, zhang_conv_path};

/// What a layer does, in whichever of Keras's forms a file expresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// Shape of one input.
    Input(&'static [u64]),
    ConvLstm2d {
        kernel: Vec<u64>,
    },
    Conv {
        kernel: Vec<u64>,
        stride: u64,
        padding: &'static str,
    },
    BatchNorm,
    Dense {
        activation: &'static str,
    },
    Relu,
    Softmax,
    Dropout,
    GlobalAverage,
    Sigmoid,
    MaxPool {
        size: u64,
        stride: u64,
        padding: &'static str,
    },
    Multiply,
    Add,
    Concatenate,
    Flatten,
}

#[derive(Debug)]
pub(super) struct Node {
    pub op: Op,
    /// Prefix of our parameters' names; empty for layers without weights.
    pub path: String,
    /// Indices of the layers whose outputs this layer takes, in order.
    pub inputs: Vec<usize>,
}

/// A network; its first node is the input and its last the output.
#[derive(Debug)]
pub(super) struct Graph {
    pub architecture: Architecture,
    pub nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn of(architecture: Architecture) -> Self {
        let mut graph = Self { architecture, nodes: Vec::new() };
        match architecture {
            Architecture::ThreeDEcgNet => three_d_ecg_net(&mut graph),
            Architecture::Zhang => zhang(&mut graph),
            Architecture::Sobahi => sobahi(&mut graph),
            Architecture::Ribeiro => ribeiro(&mut graph),
            // Not a Keras network.
            Architecture::ResNet1d => {}
        }
        graph
    }

    fn add(&mut self, op: Op, path: impl Into<String>, inputs: &[usize]) -> usize {
        self.nodes.push(Node { op, path: path.into(), inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// Adds a layer without weights.
    fn op(&mut self, op: Op, inputs: &[usize]) -> usize {
        self.add(op, "", inputs)
    }

    fn relu(&mut self, x: usize) -> usize {
        self.op(Op::Relu, &[x])
    }

    fn bn_relu(&mut self, path: &str, x: usize) -> usize {
        let x = self.add(Op::BatchNorm, path, &[x]);
        self.relu(x)
    }

    /// Returns the indices of all layers in the order of Keras's `layer_names`.
    ///
    /// They are sorted by depth, the greatest distance to the output. Layers of the same depth are in the order in
    /// which a walk from the output towards the input first visits them.
    pub(super) fn keras_order(&self) -> Vec<usize> {
        let mut walk = Walk { met: Vec::new(), done: Vec::new() };
        self.walk(self.nodes.len() - 1, &mut walk);
        let mut depth = vec![0; self.nodes.len()];
        for &k in walk.done.iter().rev() {
            for &input in &self.nodes[k].inputs {
                depth[input] = depth[input].max(depth[k] + 1);
            }
        }
        let mut order = walk.met;
        order.sort_by_key(|k| std::cmp::Reverse(depth[*k]));
        order
    }

    fn walk(&self, k: usize, walk: &mut Walk) {
        if walk.met.contains(&k) {
            return;
        }
        walk.met.push(k);
        for &input in &self.nodes[k].inputs {
            self.walk(input, walk);
        }
        walk.done.push(k);
    }
}

/// Layers in the order in which a walk enters them, and in which it leaves them.
struct Walk {
    met: Vec<usize>,
    done: Vec<usize>,
}

fn conv3d(size: u64) -> Op {
    Op::Conv { kernel: vec![size; 3], stride: 1, padding: "same" }
}

fn dense(activation: &'static str) -> Op {
    Op::Dense { activation }
}

fn three_d_ecg_net(g: &mut Graph) {
    let mut x = g.op(Op::Input(&[45, 45, 45, 1]), &[]);
    for k in 1..=2 {
        x = g.add(Op::ConvLstm2d { kernel: vec![3, 3] }, format!("conv_lstm_{k}"), &[x]);
        x = g.bn_relu(&format!("bn_{k}"), x);
    }
    for k in 1..=3 {
        let path = |name: &str| format!("block_{k}.{name}");
        let y = g.bn_relu(&path("bn_1"), x);
        let y = g.add(conv3d(3), path("conv_1"), &[y]);
        let y = g.bn_relu(&path("bn_2"), y);
        let y = g.add(conv3d(3), path("conv_2"), &[y]);
        let gate = g.op(Op::GlobalAverage, &[y]);
        let gate = g.add(dense("relu"), path("se.squeeze"), &[gate]);
        let gate = g.add(dense("sigmoid"), path("se.excite"), &[gate]);
        let y = g.op(Op::Multiply, &[y, gate]);
        let skip = g.add(conv3d(1), path("skip"), &[x]);
        x = g.op(Op::Add, &[y, skip]);
    }
    x = g.op(Op::MaxPool { size: 7, stride: 7, padding: "valid" }, &[x]);
    let heads: Vec<usize> = (1..=3)
        .map(|k| {
            let mut linear = |name: &str| g.add(dense("linear"), format!("head_{k}.{name}"), &[x]);
            let (key, query, value) = (linear("key"), linear("query"), linear("value"));
            let score = g.op(Op::Multiply, &[key, query]);
            let alpha = g.op(Op::Softmax, &[score]);
            g.op(Op::Multiply, &[alpha, value])
        })
        .collect();
    x = g.op(Op::Concatenate, &heads);
    x = g.op(Op::Flatten, &[x]);
    x = g.add(dense("relu"), "dense_1", &[x]);
    x = g.add(dense("relu"), "dense_2", &[x]);
    x = g.op(Op::Dropout, &[x]);
    g.add(dense("sigmoid"), "dense_3", &[x]);
}

fn zhang(g: &mut Graph) {
    let mut x = g.op(Op::Input(&[45, 45, 45, 1]), &[]);
    for stage in &ZHANG_STAGES {
        let mut joined = Vec::new();
        for (branch, cells) in stage.branches.iter().enumerate() {
            let mut y = x;
            for (place, cell) in cells.iter().enumerate() {
                let op = Op::Conv {
                    kernel: cell.kernel.map(|k| k as u64).to_vec(),
                    stride: cell.stride.unsigned_abs(),
                    padding: match cell.padding {
                        Padding::Same => "same",
                        Padding::Valid => "valid",
                    },
                };
                y = g.add(op, zhang_conv_path(stage.name, branch, place), &[y]);
            }
            joined.push(y);
        }
        if let Some(size) = stage.pool {
            let size = size.unsigned_abs();
            joined.push(g.op(Op::MaxPool { size, stride: 2, padding: "valid" }, &[x]));
        }
        x = match joined[..] {
            [one] => one,
            _ => g.op(Op::Concatenate, &joined),
        };
    }
    x = g.add(Op::BatchNorm, "bn_1", &[x]);
    x = g.op(Op::GlobalAverage, &[x]);
    x = g.add(dense("linear"), "dense_1", &[x]);
    x = g.add(Op::BatchNorm, "bn_2", &[x]);
    g.add(dense("sigmoid"), "dense_2", &[x]);
}

fn sobahi(g: &mut Graph) {
    let x = g.op(Op::Input(&[45, 45, 45, 1]), &[]);
    let first = Op::Conv { kernel: vec![3; 3], stride: 1, padding: "valid" };
    let x = g.add(first, "conv_1", &[x]);
    let a = g.bn_relu("bn_1", x);
    let x = g.op(Op::Dropout, &[a]);
    let x = g.add(conv3d(3), "conv_2", &[x]);
    let x = g.op(Op::Add, &[x, a]);
    let b = g.bn_relu("bn_2", x);
    let x = g.op(Op::Dropout, &[b]);
    let c = g.add(conv3d(3), "conv_3", &[x]);
    let x = g.op(Op::Add, &[c, b]);
    let gate = g.op(Op::Sigmoid, &[x]);
    let x = g.op(Op::Multiply, &[c, gate]);
    let x = g.op(Op::Flatten, &[x]);
    let x = g.bn_relu("bn_3", x);
    g.add(dense("sigmoid"), "dense", &[x]);
}

fn ribeiro(g: &mut Graph) {
    let conv = |size, stride| Op::Conv { kernel: vec![size], stride, padding: "same" };
    let x = g.op(Op::Input(&[100, 12]), &[]);
    let x = g.add(conv(16, 1), "conv", &[x]);
    let mut x = g.bn_relu("bn", x);
    let mut y = x;
    for (k, stride) in (1..).zip([1, 1, 3, 2]) {
        let path = |name: &str| format!("unit_{k}.{name}");
        if stride > 1 {
            y = g.op(Op::MaxPool { size: stride, stride, padding: "same" }, &[y]);
        }
        let skip = g.add(conv(1, 1), path("skip"), &[y]);
        x = g.add(conv(16, 1), path("conv_1"), &[x]);
        x = g.bn_relu(&path("bn_1"), x);
        x = g.op(Op::Dropout, &[x]);
        x = g.add(conv(16, stride), path("conv_2"), &[x]);
        y = g.op(Op::Add, &[x, skip]);
        x = g.bn_relu(&path("bn_2"), y);
        x = g.op(Op::Dropout, &[x]);
    }
    x = g.op(Op::Flatten, &[x]);
    g.add(dense("sigmoid"), "dense", &[x]);
}
