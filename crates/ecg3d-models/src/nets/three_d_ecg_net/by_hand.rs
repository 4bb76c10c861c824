//! The network up to its pooling by this crate's own loops, on the CPU.

use tch::{Kind, TchError, Tensor};

use super::{Block, ThreeDEcgNet};
use crate::kernels::rows::{self, Matrix, ScaleShift};
use crate::kernels::winograd::Around;
use crate::kernels::{Bf16, Element, values, values_mut};
use crate::layers::hand::{Gradients, Norm, convolve, empty, factors, parameter};
use crate::layers::{Conv, KeptSteps, Pass, Result, hand_on};

/// What the way back needs of a block.
#[derive(Debug)]
struct KeptBlock {
    convolutions: [Conv; 2],
    skip: Conv,
    x: Tensor,
    y_1: Tensor,
    y_2: Tensor,
    norm_1: Norm,
    norm_2: Norm,
    /// `[n, channel]`: the means that squeeze and excitation saw, and the gates they made.
    means: Tensor,
    gates: Tensor,
}

#[derive(Debug)]
struct Kept {
    steps_1: KeptSteps,
    states_1: Tensor,
    norm_1: Norm,
    steps_2: KeptSteps,
    states_2: Tensor,
    norm_2: Norm,
    blocks: Vec<KeptBlock>,
}

/// The values of each image.
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
    fn by_hand<T: Element>(&self, x: &Tensor, pass: Pass<'_>) -> Result<(Tensor, Option<KeptBlock>)> {
        let (kernel_1, bias_1) = self.conv_1.parameters()?;
        let (kernel_2, bias_2) = self.conv_2.parameters()?;
        let run = |x: &Tensor, kernel: &Tensor, before: Option<&ScaleShift>, bias: &[f32], relu| {
            let before = before.map(|by| [&by.scale[..], &by.shift]);
            convolve::<T>(x, &factors(kernel)?, &Around { before, bias: Some(bias), relu })
        };
        let norms;
        let (y_1, y_2, sums);
        if pass.train {
            let norm_1 = self.bn_1.of_batch::<T>(x, pass.statistics_rate)?;
            (y_1, _) = run(x, kernel_1, Some(&norm_1.by), &bias_1, false)?;
            let norm_2 = self.bn_2.of_batch::<T>(&y_1, pass.statistics_rate)?;
            (y_2, sums) = run(&y_1, kernel_2, Some(&norm_2.by), &bias_2, false)?;
            norms = Some([norm_1, norm_2]);
        } else {
            // The second normalisation is part of the first convolution.
            let (scale, shift) = self.bn_2.scale_and_shift()?;
            let kernel_1 = kernel_1.f_mul(&scale.f_view([-1, 1, 1, 1, 1])?)?;
            let bias_1 = Tensor::f_from_slice(&bias_1)?.f_mul(&scale)?.f_add(&shift)?;
            let before = self.bn_1.running()?;
            (y_1, _) = run(x, &kernel_1, Some(&before), &parameter(&bias_1)?, true)?;
            (y_2, sums) = run(&y_1, kernel_2, None, &bias_2, false)?;
            norms = None;
        }
        let positions: i64 = x.size()[1..4].iter().product();
        let means: Vec<f32> = sums.iter().map(|sum| (sum / positions as f64) as f32).collect();
        let means = Tensor::f_from_slice(&means)?.f_view([x.size()[0], -1])?;
        let means = means.f_set_requires_grad(norms.is_some())?;
        let gates = self.se.gates(&means, pass)?;
        let (kernel, bias) = self.skip.parameters()?;
        let skip = Matrix::new(&parameter(kernel)?, kernel.size()[1] as usize);
        let all_gates = parameter(&gates)?;
        let gate_of = all_gates.chunks_exact(bias.len());
        let Some([norm_1, norm_2]) = norms else {
            let mut out = y_2;
            for ((x, out), gate) in images::<T>(x)?.zip(images_mut(&mut out)?).zip(gate_of) {
                rows::residual(x, &skip, &bias, None, gate, out)?;
            }
            return Ok((out, None));
        };
        let mut out = empty::<T>(&y_2.size())?;
        let parts = images::<T>(x)?.zip(images(&y_2)?).zip(images_mut(&mut out)?).zip(gate_of);
        for (((x, y), out), gate) in parts {
            rows::residual(x, &skip, &bias, Some(y), gate, out)?;
        }
        let x = x.shallow_clone();
        let (convolutions, skip) = ([self.conv_1.share(), self.conv_2.share()], self.skip.share());
        let kept = KeptBlock { convolutions, skip, x, y_1, y_2, norm_1, norm_2, means, gates };
        Ok((out, Some(kept)))
    }
}

impl KeptBlock {
    /// The gradient of the block's input from that of its output.
    fn back<T: Element>(self, dout: &Tensor, gradients: &mut Gradients) -> Result<Tensor> {
        let Self { convolutions: [conv_1, conv_2], skip, x, y_1, y_2, norm_1, norm_2, means, gates } =
            self;
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
        // What goes into the second convolution's output: through its product with the gates, and through its means.
        let mut dy = empty::<T>(&dout.size())?;
        let by = gates.chunks_exact(channels).zip(of_means.chunks_exact(channels));
        for ((dout, dy), (gate, mean)) in images::<T>(dout)?.zip(images_mut(&mut dy)?).zip(by) {
            let by = ScaleShift { scale: gate.to_vec(), shift: mean.to_vec() };
            rows::affine(dout, &by, false, dy)?;
        }
        drop(y_2);
        let dz = conv_2.back_by_hand::<T>(&y_1, &norm_2.by, &dy, gradients)?;
        drop(dy);
        let dy = norm_2.back::<T>(&y_1, dz, None, gradients)?;
        drop(y_1);
        let dz = conv_1.back_by_hand::<T>(&x, &norm_1.by, &dy, gradients)?;
        drop(dy);
        let (kernel, _) = skip.parameters()?;
        let input = kernel.size()[1] as usize;
        let (all_x, all_dout) = (values::<T>(&x)?, values::<T>(dout)?);
        let of_kernel = rows::matrix_gradient(all_x, all_dout, [input, channels])?;
        let of_bias: Vec<f32> = of_bias.into_iter().map(|sum| sum as f32).collect();
        skip.take(&of_kernel, &of_bias, gradients)?;
        let matrix = Matrix::transposed(&parameter(kernel)?, input);
        norm_1.back::<T>(&x, dz, Some((dout, &matrix)), gradients)
    }
}

impl ThreeDEcgNet {
    /// `[n, 45, 45, 45]` -> the output of the last block, `[n, 45, 45, 45, 32]`. With a tape, the way back is left on it.
    pub(super) fn blocks_by_hand(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        match x.f_kind()? {
            Kind::BFloat16 => self.by_hand::<Bf16>(x, pass),
            _ => self.by_hand::<f32>(x, pass),
        }
    }

    fn by_hand<T: Element>(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor> {
        let train = pass.train;
        let share = pass.statistics_rate;
        let rows = x.f_transpose(0, 1)?.f_contiguous()?.f_unsqueeze(-1)?; // [step, n, height, width, 1]
        let (states_1, steps_1) = self.conv_lstm_1.by_hand::<T>(&rows, None, train)?;
        let norm_1 = if train { Some(self.bn_1.of_batch::<T>(&states_1, share)?) } else { None };
        let by = match &norm_1 {
            Some(norm) => norm.by.clone(),
            None => self.bn_1.running()?,
        };
        let (states_2, steps_2) = self.conv_lstm_2.by_hand::<T>(&states_1, Some(by), train)?;
        let norm_2 = if train { Some(self.bn_2.of_batch::<T>(&states_2, share)?) } else { None };
        let by = match &norm_2 {
            Some(norm) => norm.by.clone(),
            None => self.bn_2.running()?,
        };
        let mut x = empty::<T>(&states_2.size())?;
        rows::affine::<T>(values(&states_2)?, &by, true, values_mut(&mut x)?)?;
        let mut x = x.f_transpose(0, 1)?.f_contiguous()?; // [n, 45, 45, 45, 16]
        let mut blocks = Vec::new();
        for block in &self.blocks {
            let (y, kept) = block.by_hand::<T>(&x, pass)?;
            x = y;
            blocks.extend(kept);
        }
        let Some(tape) = pass.tape else { return Ok(x) };
        let (Some(steps_1), Some(steps_2), Some(norm_1), Some(norm_2)) =
            (steps_1, steps_2, norm_1, norm_2)
        else {
            return Ok(x);
        };
        let kept = Kept { steps_1, states_1, norm_1, steps_2, states_2, norm_2, blocks };
        hand_on(x, tape, move |leaf| kept.back::<T>(leaf.grad()))
    }
}

impl Kept {
    /// The gradients of all parameters from that of the last block's output.
    fn back<T: Element>(self, dout: Tensor) -> Result<()> {
        let mut gradients = Gradients::default();
        let mut d = dout.f_contiguous()?;
        for block in self.blocks.into_iter().rev() {
            d = block.back::<T>(&d, &mut gradients)?;
        }
        let d = d.f_transpose(0, 1)?.f_contiguous()?;
        let d = self.norm_2.back::<T>(&self.states_2, d, None, &mut gradients)?;
        let d = self.steps_2.back::<T>(&d, &mut gradients)?;
        let d = d.ok_or_else(|| TchError::Shape("the second LSTM takes the first one's states".into()))?;
        let d = self.norm_1.back::<T>(&self.states_1, d, None, &mut gradients)?;
        self.steps_1.back::<T>(&d, &mut gradients)?;
        gradients.hand_over()
    }
}
