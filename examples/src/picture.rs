//! Writes pictures as files: SVG, and the same as PNG.

use std::path::Path;

use anyhow::{Context, Result};

use crate::raster::png;
use crate::{write_atomic, write_text};

/// Writes `dir/name.svg` and `dir/name.png`.
///
/// # Errors
/// Returns an error if the text is not SVG, or if a file cannot be written.
pub fn write_picture(dir: &Path, name: &str, svg: &str) -> Result<()> {
    let png = png(svg).with_context(|| format!("cannot draw {name}.png"))?;
    write_text(&dir.join(format!("{name}.svg")), svg)?;
    write_atomic(&dir.join(format!("{name}.png")), |file| file.write_all(&png))
}

/// Removes pictures of an earlier run, which would be taken for those of this one.
///
/// These are all `.svg` and `.png` files whose name is one of `names`, followed by one of `suffixes` or by
/// nothing.
///
/// # Errors
/// Returns an error if the folder cannot be listed or a file cannot be removed.
pub fn remove_pictures(dir: &Path, names: &[&str], suffixes: &[String]) -> Result<()> {
    let listing =
        std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in listing {
        let path = entry.with_context(|| format!("cannot read {}", dir.display()))?.path();
        let is_picture = path.extension().is_some_and(|end| end == "svg" || end == "png");
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let ours = names.iter().any(|name| {
            stem.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || suffixes.iter().any(|suffix| suffix == rest))
        });
        if is_picture && ours {
            std::fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_of_ours_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["bars.svg", "bars-AF.png", "bars-mine.png", "bars.txt", "other.png"] {
            std::fs::write(dir.path().join(name), "x").expect("writes");
        }
        remove_pictures(dir.path(), &["bars"], &["-AF".to_owned()]).expect("removes");
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .expect("lists")
            .flatten()
            .map(|entry| entry.file_name().into_string().expect("a name"))
            .collect();
        left.sort();
        assert_eq!(left, ["bars-mine.png", "bars.txt", "other.png"]);
    }
}
