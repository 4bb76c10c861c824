//! The names of the leads of prepared signals.

use std::path::Path;

use ecg_core::{Lead, LeadName};
use ecg3d_convert::{ConvertConfig, LeadSelection};
use ecg3d_examples::say_err;
use ecg3d_examples::source::Source;

/// Returns where the leads `wanted` are among those `held`, by name; `None` if one is missing.
pub fn rows_of(held: &[LeadName], wanted: &[LeadName]) -> Option<Vec<usize>> {
    let row =
        |lead: &LeadName| held.iter().position(|own| own.standard_name() == lead.standard_name());
    wanted.iter().map(row).collect()
}

/// Returns the names of leads, separated by commas.
pub fn listed(leads: &[LeadName]) -> String {
    leads.iter().map(LeadName::standard_name).collect::<Vec<_>>().join(", ")
}

/// Names the leads of the records of an archive, which does not: those that the preprocessing orders, or else I to
/// V6, with a warning. `data` is its path.
pub fn name_leads(source: &mut Source, config: &ConvertConfig, data: &Path) {
    if !source.leads.is_empty() {
        return;
    }
    let leads: Vec<LeadName> = match &config.leads {
        LeadSelection::Named { leads } => leads.iter().map(|lead| (*lead).into()).collect(),
        file => {
            say_err!("warning: {} does not name its leads; assuming I to V6", data.display());
            Lead::STANDARD_12.into_iter().take(file.count()).map(LeadName::from).collect()
        }
    };
    source.leads = vec![leads; source.names.len()];
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecg3d_examples::source::Rows;
    use ndarray::Array3;

    #[test]
    fn an_archive_has_the_leads_of_the_preprocessing_or_the_usual_ones() {
        let rows = Rows::Prepared { signals: Array3::zeros((2, 2, 9)), lengths: vec![9; 2] };
        let names = ["a", "b"].map(str::to_owned).to_vec();
        let archive = Source::unlabelled(names, rows);
        let of = |selection| {
            let mut config = ConvertConfig::published();
            config.leads = selection;
            let mut source = archive.clone();
            name_leads(&mut source, &config, Path::new("x.npz"));
            assert_eq!(source.leads[0], source.leads[1]);
            // What is known stays.
            config.leads = LeadSelection::File { count: 1 };
            name_leads(&mut source, &config, Path::new("x.npz"));
            listed(&source.leads[0])
        };
        assert_eq!(of(LeadSelection::File { count: 2 }), "I, II");
        assert_eq!(of(LeadSelection::Named { leads: vec![Lead::V6, Lead::I] }), "V6, I");
    }
}
