//! Training in this crate's own loops, on the CPU: the network up to its pooling, forward and backward.

use tch::{Kind, TchError, Tensor};

use super::{Block, ThreeDEcgNet};
use crate::kernels::convolution::{Around, Grid};
use crate::kernels::rows::{self, Matrix, ScaleShift};
use crate::kernels::{Element, values, values_mut};
use crate::layers::hand::{Gradients, Norm, convolve, empty, grid, parameter, ready};
use crate::layers::{Conv, ConvLstm2d, Kept, Pass, Result, Steps, hand_on};
use crate::tape::Tape;

/// What the backward pass needs of a block.
#[derive(Debug)]
struct KeptBlock {
    convolutions: [Conv; 2],
    skip: Conv,
    x: Tensor,
    y_1: Tensor,
    y_2: Tensor,
    norm_1: Norm,
    norm_2: Norm,
    /// `[n, channel]`: the means that went into squeeze and excitation, and the resulting gates.
    means: Tensor,
    gates: Tensor,
}

#[derive(Debug)]
struct KeptAll<T> {
    lstms: [ConvLstm2d; 2],
    /// The images of a step.
    step: Grid,
    steps_1: Kept<T>,
    states_1: Tensor,
    norm_1: Norm,
    steps_2: Kept<T>,
    states_2: Tensor,
    norm_2: Norm,
    blocks: Vec<KeptBlock>,
}

/// Returns the values of each image.
fn images<'a, T: Element>(x: &'a Tensor) -> Result<std::slice::ChunksExact<'a, T>> {
    let n = x.size()[0] as usize;
    Ok(values::<T>(x)?.chunks_exact(x.numel() / n))
}

fn images_mut<'a, T: Element>(x: &'a mut Tensor) -> Result<std::slice::ChunksExactMut<'a, T>> {
    let size = x.numel() / x.size()[0] as usize;
    Ok(values_mut::<T>(x)?.chunks_exact_mut(size))
}

impl Block {
    /// `[n, depth, height, width, input]` -> `[n, depth, height, width, output]`.
    fn by_hand<T: Element>(&self, x: &Tensor, pass: Pass<'_>) -> Result<(Tensor, KeptBlock)> {
        let (kernel_1, bias_1) = self.conv_1.parameters()?;
        let (kernel_2, bias_2) = self.conv_2.parameters()?;
        let run = |x: &Tensor, kernel: &Tensor, before: &ScaleShift, bias: &[f32]| {
            let before = Some([&before.scale[..], &before.shift]);
            convolve::<T>(
                x,
                &ready::<T>(kernel)?,
                &Around { before, bias: Some(bias), relu: false },
            )
        };
        let norm_1 = self.bn_1.of_batch::<T>(values(x)?, pass.statistics_rate)?;
        let (y_1, _) = run(x, kernel_1, &norm_1.by, &bias_1)?;
        let norm_2 = self.bn_2.of_batch::<T>(values(&y_1)?, pass.statistics_rate)?;
        let (y_2, sums) = run(&y_1, kernel_2, &norm_2.by, &bias_2)?;
        let positions: i64 = x.size()[1..4].iter().product();
        let means: Vec<f32> = sums.iter().map(|sum| (sum / positions as f64) as f32).collect();
        let means = Tensor::f_from_slice(&means)?.f_view([x.size()[0], -1])?;
        let means = means.f_set_requires_grad(true)?;
        let gates = self.se.gates(&means, pass)?;
        let (kernel, bias) = self.skip.parameters()?;
        let skip = Matrix::new(&parameter(kernel)?, kernel.size()[1] as usize);
        let all_gates = parameter(&gates)?;
        let gate_of = all_gates.chunks_exact(bias.len());
        let mut out = empty::<T>(&y_2.size())?;
        let parts = images::<T>(x)?.zip(images(&y_2)?).zip(images_mut(&mut out)?).zip(gate_of);
        for (((x, y), out), gate) in parts {
            rows::residual(x, &skip, &bias, Some(y), gate, out)?;
        }
        let x = x.shallow_clone();
        let (convolutions, skip) = ([self.conv_1.share(), self.conv_2.share()], self.skip.share());
        let kept = KeptBlock { convolutions, skip, x, y_1, y_2, norm_1, norm_2, means, gates };
        Ok((out, kept))
    }
}

impl KeptBlock {
    /// Returns the gradient of the block's input from that of its output.
    fn back<T: Element>(self, dout: &Tensor, gradients: &mut Gradients) -> Result<Tensor> {
        let Self {
            convolutions: [conv_1, conv_2],
            skip,
            x,
            y_1,
            y_2,
            norm_1,
            norm_2,
            means,
            gates,
        } = self;
        let channels = gates.size()[1] as usize;
        let mut of_bias = vec![0.0; channels];
        let mut of_gates = Vec::new();
        for (dout, y) in images::<T>(dout)?.zip(images(&y_2)?) {
            let [sums, with] = rows::sums_with(dout, y, channels)?;
            of_bias.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            of_gates.extend(with.iter().map(|sum| *sum as f32));
        }
        let of_gates = Tensor::f_from_slice(&of_gates)?.f_view_as(&gates)?;
        gates.f_mul(&of_gates)?.f_sum(None::<Kind>)?.f_backward()?;
        let positions: i64 = x.size()[1..4].iter().product();
        let of_means = parameter(&means.grad().f_div_scalar(positions)?)?;
        let gates = parameter(&gates)?;
        // The gradient of the second convolution's output, which acts through its product with the gates and through
        // its means.
        let mut dy = empty::<T>(&dout.size())?;
        let by = gates.chunks_exact(channels).zip(of_means.chunks_exact(channels));
        for ((dout, dy), (gate, mean)) in images::<T>(dout)?.zip(images_mut(&mut dy)?).zip(by) {
            let by = ScaleShift { scale: gate.to_vec(), shift: mean.to_vec() };
            rows::affine(dout, &by, false, dy)?;
        }
        drop(y_2);
        let dz = conv_2.back_by_hand::<T>(&y_1, &norm_2.by, &dy, gradients)?;
        drop(dy);
        let mut dy = dz;
        norm_2.back::<T>(values(&y_1)?, values_mut(&mut dy)?, None, gradients)?;
        drop(y_1);
        let mut dz = conv_1.back_by_hand::<T>(&x, &norm_1.by, &dy, gradients)?;
        drop(dy);
        let (kernel, _) = skip.parameters()?;
        let input = kernel.size()[1] as usize;
        let (all_x, all_dout) = (values::<T>(&x)?, values::<T>(dout)?);
        let of_kernel = rows::matrix_gradient(all_x, all_dout, [input, channels])?;
        let of_bias: Vec<f32> = of_bias.into_iter().map(|sum| sum as f32).collect();
        skip.take(&of_kernel, &of_bias, gradients)?;
        let matrix = Matrix::transposed(&parameter(kernel)?, input);
        norm_1.back::<T>(all_x, values_mut(&mut dz)?, Some((all_dout, &matrix)), gradients)?;
        Ok(dz)
    }
}

impl ThreeDEcgNet {
    /// `[n, 45, 45, 45]` -> the output of the last block, `[n, 45, 45, 45, 32]`.
    ///
    /// The backward pass is left on the tape, unless all parameters up to there are frozen.
    pub(super) fn blocks_by_hand<T: Element>(
        &self,
        x: &Tensor,
        pass: Pass<'_>,
        tape: &Tape,
    ) -> Result<Tensor> {
        let share = pass.statistics_rate;
        let x = x.f_transpose(0, 1)?.f_contiguous()?; // [step, n, height, width]
        let size = x.size();
        let step = grid(&[size[1], size[2], size[3], 1]);
        let wide = [&size[..], &[16]].concat();
        let keep = |steps: &Steps, x: &Tensor, before: &ScaleShift| -> Result<(Tensor, Kept<T>)> {
            let mut states = empty::<T>(&wide)?;
            let kept = steps.forth(values(x)?, before, step, values_mut(&mut states)?, true)?;
            let kept = kept.ok_or_else(|| TchError::Shape("nothing was kept".to_owned()))?;
            Ok((states, kept))
        };
        // The first LSTM takes the volume as it is.
        let nothing = ScaleShift { scale: Vec::new(), shift: Vec::new() };
        let (states_1, steps_1) = keep(&Steps::new::<T>(&self.conv_lstm_1)?, &x, &nothing)?;
        let norm_1 = self.bn_1.of_batch::<T>(values(&states_1)?, share)?;
        let (states_2, steps_2) =
            keep(&Steps::new::<T>(&self.conv_lstm_2)?, &states_1, &norm_1.by)?;
        let norm_2 = self.bn_2.of_batch::<T>(values(&states_2)?, share)?;
        let mut x = empty::<T>(&wide)?;
        rows::affine::<T>(values(&states_2)?, &norm_2.by, true, values_mut(&mut x)?)?;
        let mut x = x.f_transpose(0, 1)?.f_contiguous()?; // [n, 45, 45, 45, 16]
        let learns = self.body.iter().any(Tensor::requires_grad);
        let mut blocks = Vec::new();
        for block in &self.blocks {
            let (y, kept) = block.by_hand::<T>(&x, pass)?;
            x = y;
            if learns {
                blocks.push(kept);
            }
        }
        if !learns {
            return Ok(x);
        }
        let lstms = [self.conv_lstm_1.share(), self.conv_lstm_2.share()];
        let kept =
            KeptAll { lstms, step, steps_1, states_1, norm_1, steps_2, states_2, norm_2, blocks };
        hand_on(x, tape, move |leaf| kept.back(leaf.grad()))
    }
}

impl<T: Element> KeptAll<T> {
    /// Computes the gradients of all parameters from that of the last block's output.
    fn back(self, dout: Tensor) -> Result<()> {
        let Self { lstms, step, steps_1, states_1, norm_1, steps_2, states_2, norm_2, blocks } =
            self;
        let [lstm_1, lstm_2] = lstms;
        let mut gradients = Gradients::default();
        let mut d = dout.f_contiguous()?;
        for block in blocks.into_iter().rev() {
            d = block.back::<T>(&d, &mut gradients)?;
        }
        let mut d = d.f_transpose(0, 1)?.f_contiguous()?;
        let (states_1, states_2) = (values::<T>(&states_1)?, values(&states_2)?);
        norm_2.back(states_2, values_mut(&mut d)?, None, &mut gradients)?;
        let mut d = steps_2.back(&lstm_2, states_2, values(&d)?, step, &mut gradients)?;
        norm_1.back(states_1, &mut d, None, &mut gradients)?;
        steps_1.back(&lstm_1, states_1, &d, step, &mut gradients)?;
        gradients.hand_over()
    }
}
