//! Label maps stored as files.

use std::collections::HashSet;
use std::path::Path;

use ecg_core::{LabelSet, SnomedCode};

use super::map::LabelMap;
use super::table::{Table, read_table};
use crate::IoError;
use crate::error::clip;

impl LabelMap {
    /// Reads a label map: a table with the columns `label`, `system` and `code`, with one row per code.
    ///
    /// | system | code |
    /// |---|---|
    /// | `snomed` | a SNOMED CT number, as in `#Dx:` comments |
    /// | `scp` | an SCP-ECG statement, as in PTB-XL's table |
    /// | `text` | words contained in a free-text diagnosis, ignoring case |
    /// | `extends` | `default` or `published`: includes that map with all its labels; `label` is empty |
    /// | empty | empty: the label has no code of its own |
    ///
    /// The systems may be written in any case. The labels are in the order of their first rows. Lines that start with
    /// `#` are comments. The map is named after the file. [`LabelMap::to_csv`] produces a file to start from.
    ///
    /// ```
    /// # use ecg_io::{LabelMap, NsrRule};
    /// # use ecg_io::ecg_core::SnomedCode;
    /// let text = "label,system,code\n,extends,default\nPVC,snomed,427172004\nPVC,scp,PVC\n";
    /// let map = LabelMap::parse(text.as_bytes(), "with-pvc.csv")?;
    /// assert_eq!((map.name(), map.labels().len()), ("with-pvc", 8));
    /// assert!(map.apply(&[SnomedCode(427172004)], NsrRule::Challenge)[7]);
    /// # Ok::<(), ecg_io::IoError>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the file cannot be read, a column is missing, a label or code cannot be read (the error states line and
    /// column), or there are no labels.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, IoError> {
        let path = path.as_ref();
        Self::parse(&read_table(path)?, path)
    }

    /// Parses the bytes of a label map; `path` appears in messages and gives the map its name. See [`LabelMap::read`].
    ///
    /// # Errors
    /// Those of [`LabelMap::read`], except for an unreadable file.
    pub fn parse(bytes: &[u8], path: impl AsRef<Path>) -> Result<Self, IoError> {
        let path = path.as_ref();
        let table = Table::parse(bytes, path)?;
        let columns = ["label", "system", "code"].map(|name| table.required(name));
        let [label, system, code] = columns;
        let (label, system, code) = (label?, system?, code?);
        let mut names: Vec<String> = Vec::new();
        let mut known = HashSet::new();
        let (mut snomed, mut scp, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (line, cells) in table.rows() {
            let wrong =
                |column: usize, expected| table.cell(line, column, cells.get(column), expected);
            let value = cells.get(code);
            let kind = cells.get(system).to_ascii_lowercase();
            if kind == "extends" {
                if !cells.get(label).is_empty() {
                    return Err(wrong(label, "no label, as extends takes over all of them"));
                }
                let base: Self = value.parse().map_err(|_| wrong(code, "default or published"))?;
                let own = base.labels().as_slice();
                names.extend(own.iter().filter(|own| known.insert((*own).clone())).cloned());
                for (label, system, value) in base.rows() {
                    let label = &own[label];
                    match system {
                        "snomed" => {
                            snomed.extend(value.parse().map(|code| (code, label.to_owned())))
                        }
                        "scp" => scp.push((value, label.to_owned())),
                        _ => texts.push((value, label.to_owned())),
                    }
                }
                continue;
            }
            let own = cells.get(label);
            if own.is_empty() {
                return Err(wrong(label, "the name of a label"));
            }
            if value.is_empty() != kind.is_empty() {
                let column = if value.is_empty() { code } else { system };
                return Err(wrong(column, "a system and a code, or neither"));
            }
            match kind.as_str() {
                "" => {}
                "snomed" => {
                    let number: SnomedCode =
                        value.parse().map_err(|_| wrong(code, "a SNOMED CT number"))?;
                    snomed.push((number, own.to_owned()));
                }
                "scp" => scp.push((value.to_owned(), own.to_owned())),
                "text" => texts.push((value.to_lowercase(), own.to_owned())),
                _ => return Err(wrong(system, "snomed, scp, text or extends")),
            }
            if known.insert(own.to_owned()) {
                names.push(own.to_owned());
            }
        }
        let labels = LabelSet::new(names).map_err(|source| table.not_labels(source))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let map = Self::new(
            clip(&name),
            labels,
            snomed.iter().map(|(code, label)| (*code, label.as_str())),
            scp.iter().map(|(code, label)| (code.as_str(), label.as_str())),
        );
        Ok(map.with_texts(texts.iter().map(|(text, label)| (text.as_str(), label.as_str()))))
    }

    /// Returns the map as the contents of a file that [`LabelMap::read`] can read, unless a label or a code has control
    /// characters.
    pub fn to_csv(&self) -> String {
        let quoted = |text: &str| match text.contains([',', '"', '#', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let names = self.labels().as_slice();
        let mut rows: Vec<_> = self.rows().collect();
        let mut has_code = vec![false; names.len()];
        rows.iter().for_each(|(label, ..)| has_code[*label] = true);
        let without = (0..names.len()).filter(|label| !has_code[*label]);
        rows.extend(without.map(|label| (label, "", String::new())));
        // The order of the labels is that of their first rows.
        rows.sort_by_key(|(label, ..)| *label);
        let lines = rows.into_iter().map(|(label, system, code)| {
            format!("{},{system},{}\n", quoted(&names[label]), quoted(&code))
        });
        format!("label,system,code\n{}", lines.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NsrRule;

    fn parse(text: &str) -> Result<LabelMap, IoError> {
        LabelMap::parse(text.as_bytes(), "a/own.csv")
    }

    #[test]
    fn maps_go_through_files() {
        for map in [LabelMap::default(), LabelMap::published()] {
            let again = LabelMap::parse(map.to_csv().as_bytes(), format!("{}.csv", map.name()));
            let again = again.expect("reads");
            assert_eq!((again.to_csv(), again.name()), (map.to_csv(), map.name()));
        }
        let own = parse(
            "# own\nsystem,code,label\nextends,published,\ntext,Paced Rhythm,PACE\nsnomed,67741000119109,\"x,y\"\n",
        )
        .expect("reads");
        assert_eq!(own.labels().len(), 9);
        assert_eq!(parse(&own.to_csv()).expect("reads").to_csv(), own.to_csv());
        assert!(own.apply(&[SnomedCode(67_741_000_119_109)], NsrRule::Challenge)[8]);
        assert_eq!(own.labels().index_of("x,y"), Some(8));
        let row = |text| own.apply_text(text, NsrRule::Challenge)[7];
        assert!(row("sinus rhythm; ventricular paced rhythm.") && row("PACED RHYTHM"));
        assert!(!row("spaced rhythm") && !row("paced rhythms"));
    }

    #[test]
    fn labels_without_a_code() {
        let labels = LabelSet::new(["A", "B", "C"]).expect("three labels");
        let map = LabelMap::new("own", labels, [(SnomedCode(7), "A")], [("CC", "C")]);
        assert_eq!(map.to_csv(), "label,system,code\nA,snomed,7\nB,,\nC,scp,CC\n");
        assert_eq!(parse(&map.to_csv()).expect("reads"), map);
    }

    #[test]
    fn systems_in_any_case() {
        let map = parse("label,system,code\n,Extends,default\nPVC,SCP,PVC\n").expect("reads");
        assert_eq!(map.labels().len(), 8);
    }

    #[test]
    fn a_map_of_very_many_labels() {
        // So many that comparing each with every other would take too long.
        let rows: String = (0..200_000).map(|k| format!("L{k},snomed,{}\n", k + 1)).collect();
        let texts: String = (0..200_000).map(|k| format!("L{k},text,t{k}\n")).collect();
        let text = format!("label,system,code\n,extends,default\n{rows}{texts}");
        let map = parse(&text).expect("reads");
        assert_eq!(map.labels().len(), 200_007);
        assert_eq!(parse(&map.to_csv()).expect("reads").labels(), map.labels());
    }

    #[test]
    fn broken_maps_name_the_place() {
        let error = |text: &str| parse(&format!("label,system,code\n{text}")).expect_err(text);
        for (text, column) in [
            ("AF,snomed,x", 3),
            ("AF,snomed,0", 3),
            ("AF,snomed,12345678901234567890", 3),
            ("AF,icd,5", 2),
            ("AF,,5", 2),
            (",scp,x", 1),
            (",,", 1),
            ("AF,scp,", 3),
            (",extends,x", 3),
            ("AF,extends,default", 1),
        ] {
            let error = error(&format!("NSR,scp,SR\n{text}\n"));
            assert!(
                matches!(error, IoError::Cell { line: 3, column: at, .. } if at == column),
                "{error}"
            );
        }
        assert!(matches!(error(""), IoError::Recording { line: Some(1), .. }));
        assert!(matches!(
            parse("label,code\nAF,1\n"),
            Err(IoError::MissingColumn { column: "system", .. })
        ));
    }
}
