//! A late answer.

use super::{Does, Draw, Entry, Need, Parsed, Value};
use crate::fault::effect::Effect;
use crate::fault::occasion::{Kind, Kinds};
use crate::fault::wrong::{Wrong, unknown};
use crate::quantity::{duration, duration_text};

/// Draws are whole µs, so that a ledger is good to read.
const STEP: f64 = 1_000.0;
/// A heavy tail ends at so many times its jitter: one draw must not hang a run.
const LONGEST_TAIL: f64 = 100.0;

pub const ENTRY: Entry = Entry {
    word: "latency",
    aliases: &[],
    value: Value::Needed("[+]D[~JITTER][:uniform|normal|pareto]"),
    kinds: Kinds::CALL.and(Kinds::REQUEST),
    needs: Need::Bytes,
    repeats: false,
    about: "The answer begins D later than it would (`dir=in`: the request is sent later). With a jitter, from D - JITTER to \
            D + JITTER (`uniform`), around D with this deviation (`normal`), or D and a heavy tail whose mean it is (`pareto`).",
    example: "dep=payments latency=+200ms~50ms:normal",
    parse,
};

#[derive(Debug)]
struct Latency {
    base: u64,
    jitter: u64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Uniform,
    Normal,
    Pareto,
}

impl Does for Latency {
    fn effects(&self, _: Kind, draw: &mut Draw) -> Vec<Effect> {
        let (one, two) = (draw.chance(), draw.chance());
        if self.jitter == 0 {
            return vec![Effect::Delay(self.base)];
        }
        #[allow(clippy::cast_precision_loss, reason = "a jitter of 2^53 ns is 104 days")]
        let (base, jitter) = (self.base as f64, self.jitter as f64);
        let off = match self.shape {
            Shape::Uniform => 2.0 * one - 1.0,
            // Box and Muller 1958.
            Shape::Normal => (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * two).cos(),
            // Lomax with the exponent 3 and the mean 1: its tail is heavy, its variance finite.
            Shape::Pareto => (2.0 * ((1.0 - one).powf(-1.0 / 3.0) - 1.0)).min(LONGEST_TAIL),
        };
        let ns = ((base + off * jitter) / STEP).round() * STEP;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from floats it saturates"
        )]
        let ns = ns.max(0.0) as u64;
        vec![Effect::Delay(ns)]
    }
}

fn parse(value: Option<&str>) -> Result<Parsed, Wrong> {
    let value = value.unwrap_or_default();
    let (times, shape) = value.split_once(':').map_or((value, None), |(times, shape)| (times, Some(shape)));
    let (base, jitter) = times.split_once('~').map_or((times, None), |(base, jitter)| (base, Some(jitter)));
    let base = duration(base.strip_prefix('+').unwrap_or(base))?;
    if jitter.is_none() && shape.is_some() {
        return Err(Wrong::new("a distribution needs a jitter").help("write `latency=+200ms~50ms:normal`"));
    }
    let jitter = jitter.map_or(Ok(0), duration)?;
    let kind = match shape.unwrap_or("uniform") {
        "uniform" => Shape::Uniform,
        "normal" => Shape::Normal,
        "pareto" => Shape::Pareto,
        other => return Err(unknown("distribution", other, &["uniform", "normal", "pareto"])),
    };
    let mut text = duration_text(base);
    if jitter > 0 {
        text += &format!("~{}", duration_text(jitter));
        text +=
            &shape.filter(|shape| *shape != "uniform").map_or_else(String::new, |shape| format!(":{shape}"));
    }
    Ok(Parsed::new(text, Latency { base, jitter, shape: kind }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Dice;

    fn delays(value: &str) -> Vec<f64> {
        let parsed = parse(Some(value)).unwrap();
        let dice = Dice::of(&[b"test"]);
        let delay = |occurrence| match parsed.does.effects(Kind::Call, &mut Draw::new(dice, occurrence, 0))[..]
        {
            [Effect::Delay(ns)] => ns as f64 / 1e6,
            ref other => panic!("{other:?}"),
        };
        (1..=20_000).map(delay).collect()
    }

    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn jitter_has_the_distribution_it_says() {
        let uniform = delays("+200ms~50ms");
        assert!(uniform.iter().all(|ms| (150.0..=250.0).contains(ms)));
        assert!((mean(&uniform) - 200.0).abs() < 1.0, "{}", mean(&uniform));
        assert!(uniform.iter().any(|ms| *ms < 151.0) && uniform.iter().any(|ms| *ms > 249.0));

        let normal = delays("200ms~50ms:normal");
        let deviation = mean(&normal.iter().map(|ms| (ms - 200.0).powi(2)).collect::<Vec<_>>()).sqrt();
        assert!((mean(&normal) - 200.0).abs() < 2.0 && (deviation - 50.0).abs() < 2.0, "{deviation}");

        let pareto = delays("200ms~50ms:pareto");
        assert!(pareto.iter().all(|ms| *ms >= 200.0));
        assert!((mean(&pareto) - 250.0).abs() < 5.0, "{}", mean(&pareto));
        assert!(pareto.iter().any(|ms| *ms > 600.0), "a heavy tail");

        assert!(delays("10ms~1s:normal").iter().all(|ms| *ms >= 0.0));
        assert!(delays("200ms").iter().all(|ms| *ms == 200.0));
    }

    #[test]
    fn what_is_none() {
        for wrong in ["", "200", "+", "200ms~", "200ms:normal", "200ms~5ms:gauss", "-200ms", "200ms~5"] {
            assert!(parse(Some(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(parse(Some("+0.2s~0:normal")).unwrap().value.as_deref(), Some("200ms"));
    }
}
