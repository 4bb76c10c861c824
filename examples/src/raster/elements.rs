//! Reads the elements of a picture.

use anyhow::{Context, Result, bail};

/// A start tag with its attributes, and the text that follows it.
pub(super) struct Element<'a> {
    pub(super) name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    content: &'a str,
}

/// Returns all elements in order. Their nesting does not matter for the pictures of this crate.
pub(super) fn elements(svg: &str) -> Result<Vec<Element<'_>>> {
    let mut out = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let inside = &rest[start + 1..];
        let end = inside.find('>').context("a tag is not closed")?;
        let (tag, after) = (&inside[..end], &inside[end + 1..]);
        rest = after;
        if tag.starts_with('/') {
            continue;
        }
        let tag = tag.trim_end_matches('/').trim_end();
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let content = &after[..after.find('<').unwrap_or(after.len())];
        out.push(Element { name, attributes: parse_attributes(attributes)?, content });
    }
    Ok(out)
}

fn parse_attributes(mut text: &str) -> Result<Vec<(&str, &str)>> {
    let mut out = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(out);
        }
        let (name, after) = text.split_once("=\"").context("an attribute without a value")?;
        let (value, after) = after.split_once('"').context("an attribute value is not closed")?;
        out.push((name, value));
        text = after;
    }
}

impl<'a> Element<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    pub(super) fn number(&self, name: &str, default: f64) -> Result<f64> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse().with_context(|| format!("{name}=\"{text}\" of {} is not a number", self.name))
    }

    /// Returns a number, or a share of `whole`.
    pub(super) fn length(&self, name: &str, whole: f64) -> Result<f64> {
        match self.text(name).and_then(|text| text.strip_suffix('%')) {
            Some(percent) => Ok(percent.parse::<f64>()? / 100.0 * whole),
            None => self.number(name, 0.0),
        }
    }

    /// Returns the colour of `#rgb` or `#rrggbb`, or `None` for `none`.
    pub(super) fn colour(&self, name: &str, default: Option<[u8; 3]>) -> Result<Option<[u8; 3]>> {
        let Some(text) = self.text(name) else { return Ok(default) };
        if text == "none" {
            return Ok(None);
        }
        let digits = text.strip_prefix('#').unwrap_or_default();
        let value = u32::from_str_radix(digits, 16)
            .with_context(|| format!("{name}=\"{text}\" is not a colour"))?;
        let byte = |shift: u32| (value >> shift & 0xff) as u8;
        let nibble = |shift: u32| (value >> shift & 0xf) as u8 * 17;
        Ok(Some(match digits.len() {
            3 => [nibble(8), nibble(4), nibble(0)],
            6 => [byte(16), byte(8), byte(0)],
            _ => bail!("{name}=\"{text}\" is not a colour"),
        }))
    }

    pub(super) fn dashes(&self) -> Result<Vec<f64>> {
        let text = self.text("stroke-dasharray").unwrap_or_default();
        text.split_whitespace().map(|own| own.parse().context("a dash is not a number")).collect()
    }

    /// Returns the angle in degrees and the centre of `transform="rotate(angle x y)"`.
    pub(super) fn rotation(&self) -> Result<(f64, [f64; 2])> {
        let Some(text) = self.text("transform") else { return Ok((0.0, [0.0; 2])) };
        let inside = text.strip_prefix("rotate(").and_then(|own| own.strip_suffix(')'));
        let numbers: Vec<f64> = inside
            .context("a transform is not a rotation")?
            .split(' ')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let &[angle, x, y] = numbers.as_slice() else { bail!("a rotation needs three numbers") };
        Ok((angle, [x, y]))
    }

    /// Returns the text with its character references resolved.
    pub(super) fn content(&self) -> String {
        const NAMES: [(&str, &str); 6] = [
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&#38;", "&"),
            // The last one, so that its result is not resolved again.
            ("&amp;", "&"),
        ];
        NAMES.iter().fold(self.content.to_owned(), |text, (name, own)| text.replace(name, own))
    }

    /// Returns the lines of a path of straight segments.
    pub(super) fn lines(&self) -> Result<Vec<Vec<[f64; 2]>>> {
        let text = self.text("d").context("a path without d")?;
        let mut lines: Vec<Vec<[f64; 2]>> = Vec::new();
        let mut at = [0.0; 2];
        let mut rest = text.trim_start();
        while let Some(command) = rest.chars().next() {
            let after = &rest[command.len_utf8()..];
            let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(after.len());
            let numbers: Vec<f64> = after[..end]
                .split([' ', ','])
                .filter(|own| !own.is_empty())
                .map(|own| own.parse().with_context(|| format!("{own:?} in a path")))
                .collect::<Result<_>>()?;
            at = match (command, numbers.as_slice()) {
                ('M' | 'L', &[x, y]) => [x, y],
                ('m' | 'l', &[x, y]) => [at[0] + x, at[1] + y],
                ('H', &[x]) => [x, at[1]],
                ('h', &[x]) => [at[0] + x, at[1]],
                ('V', &[y]) => [at[0], y],
                ('v', &[y]) => [at[0], at[1] + y],
                _ => bail!("unsupported path command {command} with {} numbers", numbers.len()),
            };
            match lines.last_mut().filter(|_| !command.eq_ignore_ascii_case(&'m')) {
                Some(line) => line.push(at),
                None => lines.push(vec![at]),
            }
            rest = after[end..].trim_start();
        }
        Ok(lines)
    }
}
