//! From signal files to stored integers.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use crate::format::decode;
use crate::text::open;
use crate::warning::Notes;
use crate::{Format, Header, IoError, ReadOptions, SignalSpec};

/// Samples that are made for signals without a file where the files hold fewer; the rest of a record is bounded by its
/// files' sizes.
const MAX_NULL_SAMPLES: u64 = 1 << 18;

/// The signals of one file.
struct Group {
    signals: Range<usize>,
    path: PathBuf,
    format: Format,
    offset: u64,
    /// Samples in a frame, of all signals together.
    frame: u64,
    /// Bytes after the offset.
    available: u64,
}

/// Which bytes of which files make up a record.
pub(crate) struct Plan {
    groups: Vec<Group>,
    pub n_frames: usize,
}

impl Plan {
    /// Looks at the sizes of a record's files.
    pub fn new(header: &Header, notes: &mut Notes<'_>) -> Result<Self, IoError> {
        if let Some(segment) = header.segments.first() {
            let path = notes.path.to_owned();
            let what = "a multi-segment record";
            return Err(IoError::NotSupported { path, line: segment.line, what });
        }
        let mut groups = Vec::new();
        let mut start = 0;
        for same_file in header.signals.chunk_by(|a, b| a.file == b.file && a.format == b.format) {
            let signals = start..start + same_file.len();
            start = signals.end;
            if same_file[0].format != Format::Null {
                groups.push(Group::new(header, signals, notes)?);
            }
        }
        if groups.is_empty() {
            return Err(IoError::NoSamples { path: notes.path.to_owned() });
        }
        let n_frames = match header.n_frames {
            Some(n) => {
                for group in &groups {
                    group.check_length(n, header, notes)?;
                }
                n
            }
            None => infer_length(&groups, notes)?,
        };
        let in_files = groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.frame));
        check_null_signals(header, n_frames, in_files, notes)?;
        for signal in &header.signals {
            let samples = n_frames.saturating_mul(signal.samples_per_frame.into());
            if u64::from(signal.skew) >= samples {
                return Err(IoError::SkewPastEnd {
                    path: notes.path.to_owned(),
                    line: signal.line,
                    skew: signal.skew.into(),
                    samples,
                });
            }
        }
        Ok(Self { groups, n_frames: n_frames as usize })
    }

    /// Reads all signals, one row each, and tests their checksums. A row is as long as its signal.
    pub fn read(
        &self,
        header: &Header,
        rows: &mut [&mut [i32]],
        options: &ReadOptions,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        for (signal, row) in header.signals.iter().zip(rows.iter_mut()) {
            if signal.format == Format::Null {
                row.fill(signal.format.invalid_code().unwrap_or_default());
            }
        }
        for group in &self.groups {
            let signals = &header.signals[group.signals.clone()];
            let rows = &mut rows[group.signals.clone()];
            let bytes = group.read(self.n_frames as u64)?;
            let per_frame: Vec<usize> =
                signals.iter().map(|s| s.samples_per_frame as usize).collect();
            let initial: Vec<i32> = signals.iter().map(|s| s.initial_value).collect();
            decode(group.format, &bytes, &per_frame, &initial, rows);
            if header.n_frames.is_none() {
                continue;
            }
            for (signal, row) in group.signals.clone().zip(rows.iter()) {
                check_sum(header, signal, row, options, notes)?;
            }
        }
        Ok(())
    }
}

impl Group {
    fn new(header: &Header, signals: Range<usize>, notes: &mut Notes<'_>) -> Result<Self, IoError> {
        let first = &header.signals[signals.start];
        if first.format.is_flac() {
            let path = notes.path.to_owned();
            return Err(IoError::NotSupported { path, line: first.line, what: "a FLAC signal" });
        }
        let mut path = signal_path(notes.path, &first.file, first.line)?;
        let mut size = file_size(&path);
        if let Err(IoError::Read { source, .. }) = &size
            && source.kind() == io::ErrorKind::NotFound
            && let Some(renamed) = renamed_file(notes.path, &path)
        {
            let message =
                format!("{:?} is missing, the file of the header's own name is read", first.file);
            notes.quirk(Some(first.line), "file name", message)?;
            size = file_size(&renamed);
            path = renamed;
        }
        let size = size?;
        check_inside(notes.path, &path, first)?;
        let Some(available) = size.checked_sub(first.offset) else {
            return Err(IoError::Truncated { path, expected: first.offset, found: size });
        };
        let frame = header.signals[signals.clone()]
            .iter()
            .fold(0_u64, |sum, s| sum.saturating_add(s.samples_per_frame.into()));
        Ok(Self { signals, path, format: first.format, offset: first.offset, frame, available })
    }

    /// Bytes of `n_frames` frames, the last block cut short.
    fn bytes(&self, n_frames: u64) -> Option<u64> {
        self.format.bytes_for(n_frames.checked_mul(self.frame)?)
    }

    /// Compares the file's size with the length that the header states.
    fn check_length(
        &self,
        n_frames: u64,
        header: &Header,
        notes: &mut Notes<'_>,
    ) -> Result<(), IoError> {
        let needed = self.bytes(n_frames).unwrap_or(u64::MAX);
        if needed > self.available {
            return Err(IoError::Truncated {
                path: self.path.clone(),
                expected: needed.saturating_add(self.offset),
                found: self.available + self.offset,
            });
        }
        // The last block may be whole, and skewed signals need frames beyond the end.
        let skew = header.signals[self.signals.clone()].iter().map(|s| s.skew).max().unwrap_or(0);
        let frames = n_frames.saturating_add(skew.into());
        let most = self.bytes(frames).unwrap_or(u64::MAX).saturating_add(self.format.padding());
        if self.available > most {
            let message = format!(
                "{} bytes follow the {n_frames} frames that the header states, ignored",
                self.available - needed
            );
            notes.quirk(None, "number of samples", message)?;
        }
        Ok(())
    }

    fn read(&self, n_frames: u64) -> Result<Vec<u8>, IoError> {
        // The size was checked against that of the file, so this is no more than the file holds.
        let needed = self.bytes(n_frames).unwrap_or(u64::MAX).min(self.available);
        let (mut file, _) = open(&self.path)?;
        let failed = IoError::read(&self.path);
        let mut bytes = Vec::with_capacity(needed as usize);
        let read = (|| {
            if self.offset > 0 {
                file.seek(SeekFrom::Start(self.offset))?;
            }
            file.take(needed).read_to_end(&mut bytes)
        })();
        read.map_err(failed)?;
        if (bytes.len() as u64) < needed {
            // The file became shorter while it was read.
            return Err(IoError::Truncated {
                path: self.path.clone(),
                expected: self.offset + needed,
                found: self.offset + bytes.len() as u64,
            });
        }
        Ok(bytes)
    }
}

fn file_size(path: &Path) -> Result<u64, IoError> {
    let metadata = fs::metadata(path).map_err(IoError::read(path))?;
    if !metadata.is_file() {
        return Err(IoError::NotAFile { path: path.to_owned() });
    }
    Ok(metadata.len())
}

/// A signal file beside the header or below it; never elsewhere.
fn signal_path(header: &Path, file: &str, line: u64) -> Result<PathBuf, IoError> {
    let below = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
    let path = header.with_file_name(file);
    if file.is_empty() || file == "-" || file.contains('\\') || !below || path == header {
        let name = crate::error::clip(file);
        return Err(IoError::UnsafeName { path: header.to_owned(), line, name });
    }
    Ok(path)
}

/// Refuses a link that leads out of the header's folder. Where the header is a link too, the folder that it leads to is
/// as good.
fn check_inside(header: &Path, path: &Path, signal: &SignalSpec) -> Result<(), IoError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(IoError::read(path));
    let folder = match header.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = real(path)?;
    if file.starts_with(real(folder)?)
        || real(header)?.parent().is_some_and(|folder| file.starts_with(folder))
    {
        return Ok(());
    }
    let (path, name) = (header.to_owned(), crate::error::clip(&signal.file));
    Err(IoError::UnsafeName { path, line: signal.line, name })
}

/// The file of the header's own name with the extension of the one that is missing, where there is one.
fn renamed_file(header: &Path, missing: &Path) -> Option<PathBuf> {
    let path = header.with_extension(missing.extension()?);
    (path != header && path != missing && path.is_file()).then_some(path)
}

/// The length of a record whose header does not state one.
fn infer_length(groups: &[Group], notes: &mut Notes<'_>) -> Result<u64, IoError> {
    let mut shortest = u64::MAX;
    let mut differ = false;
    for group in groups {
        let frames = group.format.samples_in(group.available) / group.frame.max(1);
        if frames == 0 {
            return Err(IoError::NoSamples { path: group.path.clone() });
        }
        differ |= shortest != u64::MAX && shortest != frames;
        shortest = shortest.min(frames);
        let used = group.bytes(frames).unwrap_or(u64::MAX);
        let rest = group.available.saturating_sub(used);
        if rest > group.format.padding() {
            let message = format!("{rest} bytes of the signal file are no whole frame, ignored");
            notes.quirk(None, "number of samples", message)?;
        }
    }
    if differ {
        let message =
            format!("the signal files have different lengths, {shortest} frames are read");
        notes.quirk(None, "number of samples", message)?;
    }
    Ok(shortest)
}

/// Signals without a file are as long as the header says: the one size that no file bounds. They may have as many samples
/// as the files (`in_files` in each frame), or a modest number.
fn check_null_signals(
    header: &Header,
    n_frames: u64,
    in_files: u64,
    notes: &Notes<'_>,
) -> Result<(), IoError> {
    let null = header.signals.iter().filter(|signal| signal.format == Format::Null);
    let samples = null.fold(0_u64, |sum, signal| {
        sum.saturating_add(n_frames.saturating_mul(signal.samples_per_frame.into()))
    });
    let limit = MAX_NULL_SAMPLES.max(n_frames.saturating_mul(in_files));
    if samples > limit {
        return Err(IoError::TooManyNullSamples { path: notes.path.to_owned(), samples, limit });
    }
    Ok(())
}

fn check_sum(
    header: &Header,
    signal: usize,
    row: &[i32],
    options: &ReadOptions,
    notes: &mut Notes<'_>,
) -> Result<(), IoError> {
    let spec = &header.signals[signal];
    let Some(expected) = spec.checksum else { return Ok(()) };
    let found = checksum(row.iter().copied());
    if found == expected {
        return Ok(());
    }
    if !options.verify_checksums {
        let message = format!("{expected} in the header, {found} of the samples");
        notes.remark(Some(spec.line), "checksum", message);
        return Ok(());
    }
    let (path, line) = (notes.path.to_owned(), spec.line);
    let lead = header.lead_name(signal);
    Err(IoError::Checksum { path, line, signal, lead, expected, found })
}

/// The sum of stored values mod 2^16.
pub(crate) fn checksum(samples: impl Iterator<Item = i32>) -> u16 {
    samples.fold(0_u32, |sum, v| sum.wrapping_add(v as u32)) as u16
}
