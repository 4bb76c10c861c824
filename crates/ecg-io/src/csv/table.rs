//! Collects the rows of a table as they arrive, with samples or leads in rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ecg_core::{Lead, LeadName};
use ndarray::{Array2, Axis};

use super::cells::{Column, Layout, MAX_COLUMNS, find, is_voltage, number, time};
use super::float::{Shape, simple};
use super::{CsvColumn, CsvOptions, CsvOrientation};
use crate::{IoError, error::clip};

/// Leads and their signal in mV, `[lead, sample]`.
pub(super) type Leads = (Vec<LeadName>, Array2<f64>);

/// The cells of a row.
type Cells<'a> = [Cow<'a, str>];

/// The table read so far.
pub(super) struct Table {
    layout: Layout,
    columns: Vec<Column>,
    /// How the last number of each column was written.
    shapes: Vec<Shape>,
    names: Vec<String>,
    /// The line of the first row.
    pub first_line: u64,
    /// The requested columns.
    wanted: Option<Vec<CsvColumn>>,
    /// Line numbers of the times, and the times in seconds.
    pub times: Vec<(u64, f64)>,
    /// The first line that ends with a delimiter.
    ends: Option<u64>,
    /// For each lead with a value that is not finite in mV if it is in V, by number: the error for the first such cell.
    too_large: HashMap<usize, IoError>,
    values: Values,
}

/// Size in mV of the largest unit.
const LARGEST_MV: f64 = 1e3;

/// The amount of data to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Size of the file in bytes, as stored.
    pub bytes: usize,
    /// Number of its lines, if they could be counted.
    pub lines: Option<u64>,
}

/// Values of the leads. Memory for all rows is allocated with the first row, based on the size of the file.
enum Values {
    /// `[lead, sample]`, with room for `room` samples of each lead.
    Samples { values: Vec<f64>, room: usize, leads: usize, rows: usize },
    /// One row of values per lead.
    Leads {
        values: Vec<f64>,
        samples: usize,
        /// Whether all rows end with an empty cell and no row above states the number of samples.
        open: bool,
        /// Whether every row starts with its number or name.
        indexed: bool,
        /// Whether any row has a name.
        named: bool,
    },
}

impl Table {
    /// Starts a table with the first row of a file of the given size.
    pub fn start(
        layout: Layout,
        (line, text): (u64, &str),
        path: &Path,
        size: Size,
        options: &CsvOptions,
    ) -> Result<Self, IoError> {
        let empty = |values| Self {
            layout,
            columns: Vec::new(),
            shapes: Vec::new(),
            names: Vec::new(),
            first_line: line,
            wanted: options.columns.clone(),
            times: Vec::new(),
            ends: None,
            too_large: HashMap::new(),
            values,
        };
        if layout.orientation == CsvOrientation::LeadsInRows {
            let mut table = empty(Values::Leads {
                values: Vec::new(),
                samples: 0,
                open: true,
                indexed: false,
                named: false,
            });
            if layout.has_names {
                table.take_time_row(line, text, path)?;
            } else {
                table.push_lead(line, text, path)?;
            }
            return Ok(table);
        }
        let cells = layout.split(text);
        check_count(cells.len(), line, path)?;
        let names = names(&layout, &cells, options);
        if names.len() != cells.len() {
            let (path, expected, found) = (path.to_owned(), names.len(), cells.len());
            return Err(IoError::Columns { path, line, expected, found });
        }
        let order = options.columns.as_deref();
        let order = order.map(|wanted| self::order(wanted, &names, line, path)).transpose()?;
        let columns: Vec<Column> = match layout.names_columns() {
            true => names.iter().map(|name| Column::of(name)).collect(),
            // A lead that the caller names `t` is a lead.
            false => {
                let index = index_of(&layout, &cells);
                let leads = names[usize::from(index.is_some())..].iter();
                let leads = leads.map(|name| Column::Lead { name: name.as_str().into(), mv: None });
                index.into_iter().chain(leads).collect()
            }
        };
        let mut columns: Vec<Column> = columns
            .into_iter()
            .enumerate()
            .map(|(k, column)| match &order {
                Some(order) if order.contains(&k) => Column::lead_of(&names[k]),
                Some(_) if column.is_lead() => Column::Ignored,
                _ => column,
            })
            .collect();
        // If there are several time columns, the first one counts.
        let timed = columns.iter_mut().filter(|column| matches!(column, Column::Time { .. }));
        timed.skip(1).for_each(|column| *column = Column::Ignored);
        let leads = columns.iter().filter(|column| matches!(column, Column::Lead { .. })).count();
        // There is at least one byte per cell. If the lines are not counted, more memory is allocated as rows arrive.
        let most = size.bytes / columns.len().max(1) + 1;
        let rows = match size.lines {
            Some(lines) => lines.saturating_sub(line - u64::from(!layout.has_names)) as usize,
            None => size.bytes / (text.len() + 1),
        };
        let rows = rows.clamp(1, most);
        let values =
            Values::Samples { values: vec![0.0; rows * leads], room: rows, leads, rows: 0 };
        // Names that end with a delimiter: the last column has no name.
        let ends = names.last().filter(|name| name.is_empty()).map(|_| line);
        let shapes = vec![Shape::NONE; columns.len()];
        let mut table = Self { columns, shapes, names, ends, ..empty(values) };
        if !layout.has_names {
            table.push(line, text, path)?;
        }
        Ok(table)
    }

    /// Takes a row up to its LF if all its cells are plain. Returns the number of bytes, or `None` without having
    /// changed anything.
    #[inline]
    pub fn push_plain(&mut self, line: u64, bytes: &[u8]) -> Option<usize> {
        let delimiter = self.layout.delimiter;
        let Values::Samples { values, room, leads: _, rows } = &mut self.values else {
            return None;
        };
        // The first row may hold units; comments and blank lines start differently.
        let starts = |b: u8| b.is_ascii_digit() || b == b'-' || b == b'.';
        if *rows == *room || *rows == 0 || !starts(*bytes.first()?) {
            return None;
        }
        let (mut at, mut lead, mut seconds) = (0, *rows, None);
        let last = self.columns.len() - 1;
        for (k, (column, shape)) in self.columns.iter().zip(&mut self.shapes).enumerate() {
            while delimiter == b' ' && bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            let rest = bytes.get(at..)?;
            let (value, length) = plain(rest, shape)
                .filter(|(_, length)| ends_cell(rest.get(*length), delimiter))
                .or_else(|| by_the_book(rest, delimiter, column))?;
            at += length;
            match column {
                Column::Lead { .. } => {
                    *values.get_mut(lead)? = value;
                    lead += *room;
                }
                Column::Time { seconds: unit } => seconds = Some(value * unit),
                Column::Ignored => {}
            }
            if k < last {
                if bytes.get(at) != Some(&delimiter) {
                    return None;
                }
                at += 1;
            }
        }
        if bytes.get(at) == Some(&b'\r') {
            at += 1;
        }
        if bytes.get(at) != Some(&b'\n') {
            return None;
        }
        self.times.extend(seconds.map(|seconds| (line, seconds)));
        *rows += 1;
        Some(at + 1)
    }

    /// Takes a row of any kind.
    pub fn push(&mut self, line: u64, text: &str, path: &Path) -> Result<(), IoError> {
        if self.layout.orientation == CsvOrientation::LeadsInRows {
            return self.push_lead(line, text, path);
        }
        let mut cells = self.layout.split(text);
        check_count(cells.len(), line, path)?;
        if cells.len() == self.columns.len() + 1 && cells.last().is_some_and(|cell| cell.is_empty())
        {
            cells.pop();
            self.ends.get_or_insert(line);
        }
        if cells.len() != self.columns.len() {
            let (path, expected) = (path.to_owned(), self.columns.len());
            return Err(IoError::Columns { path, line, expected, found: cells.len() });
        }
        if self.rows() == 0 && self.layout.has_names && self.take_units(&cells) {
            return Ok(());
        }
        self.make_room();
        let Values::Samples { values, room, rows, .. } = &mut self.values else { return Ok(()) };
        let (mut at, mut lead) = (*rows, 0);
        for (index, (cell, column)) in cells.iter().zip(&self.columns).enumerate() {
            if matches!(column, Column::Ignored) {
                continue;
            }
            let read = if matches!(column, Column::Time { .. }) { time } else { number };
            let value = read(cell, self.layout.delimiter);
            let value =
                value.ok_or_else(|| bad_cell(path, line, index, &self.names[index], cell))?;
            match column {
                Column::Time { seconds } => self.times.push((line, value * seconds)),
                _ => {
                    if is_too_large(value) {
                        let error = || too_large(path, line, index, &self.names[index], cell);
                        self.too_large.entry(lead).or_insert_with(error);
                    }
                    values[at] = value;
                    at += *room;
                    lead += 1;
                }
            }
        }
        *rows += 1;
        Ok(())
    }

    /// Doubles the memory for samples when it is full.
    fn make_room(&mut self) {
        let Values::Samples { values, room, leads, rows } = &mut self.values else { return };
        if rows < room {
            return;
        }
        let wider = 2 * *room;
        let mut all = vec![0.0; wider * *leads];
        for (old, new) in values.chunks(*room).zip(all.chunks_mut(wider)) {
            new[..old.len()].copy_from_slice(old);
        }
        (*values, *room) = (all, wider);
    }

    /// Takes a row of values, after the lead's name if there is one.
    fn push_lead(&mut self, line: u64, text: &str, path: &Path) -> Result<(), IoError> {
        let delimiter = self.layout.delimiter;
        let Values::Leads { values, samples, open, indexed, named } = &mut self.values else {
            return Ok(());
        };
        check_count(self.columns.len() + 1, line, path)?;
        let mut cells = self.layout.each(text).enumerate().peekable();
        let is_name = |cell: &str| number(cell, delimiter).is_none();
        let first = cells.next_if(|(_, cell)| *indexed || is_name(cell));
        let offset = usize::from(first.is_some());
        let name = first.filter(|(_, cell)| is_name(cell));
        *named |= name.is_some();
        let name = name.map_or_else(
            || {
                let known = Lead::STANDARD_12.get(self.columns.len());
                known.map_or_else(|| self.columns.len().to_string(), |lead| lead.name().to_owned())
            },
            |(_, name)| name.into_owned(),
        );
        let number_of_row = self.names.len();
        self.names.push(name);
        let name = &self.names[number_of_row];
        if let Some(wanted) = &self.wanted
            && !wanted.iter().any(|column| match column {
                CsvColumn::Position(n) => *n == number_of_row + 1,
                own => find(own, std::slice::from_ref(name)).is_some(),
            })
        {
            self.columns.push(Column::Ignored);
            return Ok(());
        }
        let lead = self.columns.iter().filter(|column| column.is_lead()).count();
        let before = values.len();
        let mut ends = false;
        for (index, cell) in cells {
            let value = number(&cell, delimiter);
            let value = value.ok_or_else(|| bad_cell(path, line, index, name, &cell))?;
            if is_too_large(value) {
                let error = || too_large(path, line, index, name, &cell);
                self.too_large.entry(lead).or_insert_with(error);
            }
            values.push(value);
            ends = cell.is_empty();
        }
        if ends && values.len() - before == *samples + 1 && *samples > 0 {
            values.pop();
            self.ends.get_or_insert(line);
            ends = false;
        }
        *open &= ends;
        let found = values.len() - before;
        if *samples == 0 && lead == 0 {
            *samples = found;
        }
        if found != *samples {
            let (path, expected, found) = (path.to_owned(), *samples + offset, found + offset);
            return Err(IoError::Columns { path, line, expected, found });
        }
        self.columns.push(Column::lead_of(name));
        Ok(())
    }

    /// Takes the times above rows of leads. Sample numbers and unknown names only give the number of samples.
    fn take_time_row(&mut self, line: u64, text: &str, path: &Path) -> Result<(), IoError> {
        let Values::Leads { samples, open, indexed, .. } = &mut self.values else {
            return Ok(());
        };
        *open = false;
        let mut cells = self.layout.each(text).enumerate().peekable();
        let Some((_, name)) = cells.next() else { return Ok(()) };
        let Column::Time { seconds } = Column::of(&name) else {
            // In a row of numbers, the first one counts a sample like the others; an empty cell stands above row
            // numbers.
            *indexed = self.layout.numbered && name.is_empty();
            *samples = usize::from(self.layout.numbered && !*indexed);
            let mut ends = false;
            for (_, name) in cells {
                *samples += 1;
                ends = name.is_empty();
            }
            if ends {
                *samples -= 1;
                self.ends = Some(line);
            }
            return Ok(());
        };
        while let Some((index, cell)) = cells.next() {
            if cell.is_empty() && cells.peek().is_none() {
                self.ends = Some(line);
                break;
            }
            let value = time(&cell, self.layout.delimiter);
            let value = value.ok_or_else(|| bad_cell(path, line, index, &name, &cell))?;
            self.times.push((line, value * seconds));
        }
        *samples = self.times.len();
        Ok(())
    }

    /// Reads a row of units; `false`, without having changed anything, if it is not one.
    fn take_units(&mut self, cells: &Cells<'_>) -> bool {
        let mut columns = self.columns.clone();
        let voltage = cells.iter().any(|cell| is_voltage(cell));
        let units = voltage && columns.iter_mut().zip(cells).all(|(c, cell)| c.set_unit(cell));
        if units {
            self.columns = columns;
            // One row fewer is to come.
            if let Values::Samples { values, room, leads, .. } = &mut self.values
                && *room > 1
            {
                *room -= 1;
                values.truncate(*room * *leads);
            }
        }
        units
    }

    /// Returns whether the first row only counts the columns.
    pub fn is_numbered(&self) -> bool {
        self.layout.numbered
    }

    /// Returns the number of tabs between the cells of a row of samples.
    pub fn tabs(&self) -> usize {
        match (self.layout.delimiter, self.layout.orientation) {
            (b'\t', CsvOrientation::SamplesInRows) => self.columns.len() - 1,
            _ => 0,
        }
    }

    /// Returns the first line that ends with a delimiter. If all rows of leads do, the apparent last sample is removed.
    pub fn take_ends(&mut self) -> Option<u64> {
        if let Values::Leads { values, samples, open: true, .. } = &mut self.values
            && *samples > 1
        {
            let kept: Vec<f64> =
                values.chunks(*samples).flat_map(|row| &row[..*samples - 1]).copied().collect();
            (*values, *samples) = (kept, *samples - 1);
            self.ends.get_or_insert(self.first_line);
        }
        self.ends.take()
    }

    /// Returns whether the table states the units of a lead.
    pub fn states_units(&self) -> bool {
        self.columns.iter().any(|column| matches!(column, Column::Lead { mv: Some(_), .. }))
    }

    /// Returns the names of the leads that are read, in the order of the file.
    pub fn lead_names(&self) -> impl Iterator<Item = LeadName> {
        self.columns.iter().filter_map(|column| match column {
            Column::Lead { name, .. } => Some(name.clone()),
            _ => None,
        })
    }

    fn rows(&self) -> usize {
        match &self.values {
            Values::Samples { rows, .. } => *rows,
            Values::Leads { samples, .. } => *samples,
        }
    }

    /// Returns whether the chosen columns, or more unnamed rows than the standard leads, are identified by numbers
    /// alone.
    fn only_numbered(&self, wanted: &[CsvColumn], order: &[usize]) -> bool {
        let by_number = match &self.values {
            Values::Samples { .. } => order.iter().all(|&k| self.names[k] == (k + 1).to_string()),
            Values::Leads { named, .. } => {
                !named
                    && self.names.len() > Lead::STANDARD_12.len()
                    && wanted.iter().all(|column| matches!(column, CsvColumn::Position(_)))
            }
        };
        by_number && !self.layout.names_columns()
    }

    /// Returns the names of the leads and the signal in mV, `[lead, sample]`; `None` if there are no samples. Leads
    /// without a unit are in units of `default_mv`.
    pub fn finish(
        mut self,
        default_mv: f64,
        options: &CsvOptions,
        path: &Path,
    ) -> Result<Option<Leads>, IoError> {
        let samples = self.rows();
        // The requested columns, by their position among those that were read.
        let (order, only_numbered) = match &self.wanted {
            Some(wanted) => {
                let read = |&k: &usize| self.columns[..k].iter().filter(|c| c.is_lead()).count();
                let order = order(wanted, &self.names, self.first_line, path)?;
                let only_numbered = self.only_numbered(wanted, &order);
                (Some(order.iter().map(read).collect::<Vec<_>>()), only_numbered)
            }
            None => (None, false),
        };
        let leads = self.columns.into_iter().filter_map(|column| match column {
            Column::Lead { name, mv } => Some((name, mv.unwrap_or(default_mv))),
            _ => None,
        });
        let (mut names, scale): (Vec<LeadName>, Vec<f64>) = leads.unzip();
        if samples == 0 || names.is_empty() {
            return Ok(None);
        }
        let values = match self.values {
            Values::Leads { values, .. } => values,
            Values::Samples { mut values, room, .. } => {
                if room > samples {
                    for lead in 1..names.len() {
                        values.copy_within(lead * room..lead * room + samples, lead * samples);
                    }
                }
                values.truncate(names.len() * samples);
                values
            }
        };
        let mut signal = Array2::from_shape_vec((names.len(), samples), values)
            .expect("as many values as leads times samples");
        for (lead, (mut row, mv)) in signal.rows_mut().into_iter().zip(scale).enumerate() {
            if mv > 1.0
                && let Some(error) = self.too_large.remove(&lead)
            {
                return Err(error);
            }
            if mv != 1.0 {
                row *= mv;
            }
        }
        if let Some(order) = order {
            names = order.iter().map(|&k| names[k].clone()).collect();
            signal = signal.select(Axis(0), &order);
            if only_numbered && names.len() == Lead::STANDARD_12.len() {
                names = Lead::STANDARD_12.map(LeadName::from).into();
            }
        }
        if let Some(own) = &options.leads {
            if own.len() != names.len() {
                let (expected, found) = (own.len(), names.len());
                return Err(IoError::LeadNames { path: path.to_owned(), expected, found });
            }
            names.clone_from(own);
        }
        Ok(Some((names, signal)))
    }
}

/// Returns the column of times or row numbers that precedes columns which are only numbered, if there is one.
fn index_of(layout: &Layout, cells: &Cells<'_>) -> Option<Column> {
    let first = cells.first().filter(|_| layout.numbered)?;
    Some(Column::of(first)).filter(|column| !column.is_lead())
}

/// Returns the names of the columns from the cells of the first row. If the columns are only numbered, times or row
/// numbers may precede them.
pub(super) fn names(layout: &Layout, cells: &Cells<'_>, options: &CsvOptions) -> Vec<String> {
    if layout.names_columns() {
        return cells.iter().map(Cow::to_string).collect();
    }
    let index = index_of(layout, cells).map(|_| cells[0].to_string());
    let before = usize::from(index.is_some());
    let count = cells.len() - before;
    let columns: Vec<String> = match (&options.columns, &options.leads) {
        (Some(_), _) if count != 12 => (1..=count).map(|n| (before + n).to_string()).collect(),
        (None, Some(leads)) => leads.iter().map(|lead| lead.as_str().to_owned()).collect(),
        _ => Lead::STANDARD_12.map(|lead| lead.name().to_owned()).into(),
    };
    index.into_iter().chain(columns).collect()
}

/// Returns the numbers, from 0, of the requested columns.
fn order(
    wanted: &[CsvColumn],
    names: &[String],
    line: u64,
    path: &Path,
) -> Result<Vec<usize>, IoError> {
    let shown = |column: &CsvColumn| match column {
        CsvColumn::Name(name) => clip(name),
        CsvColumn::Position(n) => n.to_string(),
    };
    let mut order = Vec::with_capacity(wanted.len());
    for column in wanted {
        let k = find(column, names).ok_or_else(|| IoError::NoSuchColumn {
            path: path.to_owned(),
            line,
            column: shown(column),
            found: clip(&names.join(", ")),
        })?;
        if order.contains(&k) {
            let (path, column) = (path.to_owned(), shown(column));
            return Err(IoError::ColumnTwice { path, line, column });
        }
        order.push(k);
    }
    Ok(order)
}

fn check_count(columns: usize, line: u64, path: &Path) -> Result<(), IoError> {
    if columns <= MAX_COLUMNS {
        return Ok(());
    }
    Err(IoError::TooManyColumns { path: path.to_owned(), line, limit: MAX_COLUMNS })
}

fn bad_cell(path: &Path, line: u64, index: usize, name: &str, cell: &str) -> IoError {
    wrong_cell(path, line, index, name, cell, "a number")
}

fn too_large(path: &Path, line: u64, index: usize, name: &str, cell: &str) -> IoError {
    wrong_cell(path, line, index, name, cell, "a number that is finite in mV")
}

fn wrong_cell(
    path: &Path,
    line: u64,
    index: usize,
    name: &str,
    cell: &str,
    expected: &'static str,
) -> IoError {
    IoError::Cell {
        path: path.to_owned(),
        line,
        column: index + 1,
        name: clip(name),
        found: clip(cell),
        expected,
    }
}

/// Returns whether a value in the largest unit is not finite in mV.
fn is_too_large(value: f64) -> bool {
    (value * LARGEST_MV).is_infinite()
}

/// Reads a number at the start of `bytes` that is written like the previous one in its column, or sets the shape for
/// the next one.
#[inline]
fn plain(bytes: &[u8], shape: &mut Shape) -> Option<(f64, usize)> {
    if let Some(found) = shape.read(bytes) {
        return Some(found);
    }
    if let Some(own) = Shape::of(bytes) {
        *shape = own;
        return own.read(bytes);
    }
    simple(bytes)
}

#[inline]
fn ends_cell(byte: Option<&u8>, delimiter: u8) -> bool {
    byte.is_some_and(|&byte| byte == delimiter || byte == b'\n' || byte == b'\r')
}

/// Reads a cell with blanks, an exponent, many digits or no number, and returns its length. `None` leaves the whole row
/// to [`Table::push`], as does a value that may be too large.
fn by_the_book(bytes: &[u8], delimiter: u8, column: &Column) -> Option<(f64, usize)> {
    let length = bytes.iter().position(|&b| b == delimiter || b == b'\n' || b == b'\r')?;
    let cell = bytes[..length].trim_ascii();
    // Quotes may hide a delimiter; other control characters are rejected.
    if delimiter == b' ' || cell.iter().any(|&b| b == b'"' || b < b' ') {
        return None;
    }
    if matches!(column, Column::Ignored) {
        return Some((0.0, length));
    }
    let value = number(std::str::from_utf8(cell).ok()?, delimiter)?;
    let unknown_time = value.is_nan() && matches!(column, Column::Time { .. });
    (!unknown_time && !is_too_large(value)).then_some((value, length))
}
