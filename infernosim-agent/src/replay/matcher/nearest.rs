//! What was recorded that is nearest to a live call without a counterpart, and the words that say so.

use std::fmt::Write as _;

use super::sites::{Level, Of};
use super::{Matcher, Said, Sought};
use crate::error::Result;
use crate::replay::fields;
use crate::replay::script::CallIndex;

/// So many differences are told.
const MOST_TOLD: usize = 12;

impl Matcher {
    /// Of the same site, else of the same dependency; rather one that nothing live stands for yet.
    pub(super) fn nearest(&mut self, said: &Said, sought: Option<&Sought>) -> Option<CallIndex> {
        let site = sought.map(|sought| sought.site).or_else(|| self.nearest_site(said))?;
        let any = self.sites.any_of(site).map(|(call, _)| call)?;
        let keys = self.sites.keys(any);
        let left = |of| self.sites.first(site, Level::Template, &keys, of);
        let left: Vec<CallIndex> = [Of::Nobody, Of::Somebody].into_iter().filter_map(left).collect();
        left.into_iter().min().or(Some(any))
    }

    /// With the same method rather than another, and the more of its path from the start the better.
    fn nearest_site(&self, said: &Said) -> Option<u32> {
        let path = fields::template(fields::split_target(&said.target).0);
        let sites = said.dependencies.iter().flat_map(|name| self.sites.of_dependency(name));
        let rated = sites.map(|(method, other, site)| {
            let common =
                fields::segments(&path).zip(fields::segments(other)).take_while(|(a, b)| a == b).count();
            ((method == said.method, common), std::cmp::Reverse(site))
        });
        rated.max().map(|(_, site)| site.0)
    }

    /// Why it has no counterpart.
    pub(super) fn explain(
        &self,
        said: &Said,
        sought: Option<&Sought>,
        nearest: Option<CallIndex>,
    ) -> Result<String> {
        let dependency = said.dependencies.first().map_or("", String::as_str);
        let mut text = format!("asked: {} {} of {dependency}\n", said.method, said.target);
        let Some(nearest) = nearest else {
            text.push_str("The recording has no call of this dependency.\n");
            return Ok(text);
        };
        let line = self.script.call_line(nearest)?;
        // Writing to a String does not fail.
        let _ = match sought.and_then(|sought| self.sites.any_of(sought.site)) {
            Some((_, count)) if self.sites.is_used(nearest) => {
                writeln!(text, "Of the recorded calls of this site ({count}) none is left.")
            }
            Some(_) => {
                writeln!(text, "What is left of the recorded calls of this site belongs to other requests.")
            }
            None => writeln!(text, "The recording has no such call."),
        };
        let _ = writeln!(text, "nearest: {} {}", line.method, line.path_and_query());
        let differences = self.differences(said, nearest)?;
        for difference in differences.iter().take(MOST_TOLD) {
            let shown =
                |leaf: &Option<fields::Leaf>| leaf.as_ref().map_or("absent".to_owned(), ToString::to_string);
            let (recorded, live) = (shown(&difference.recorded), shown(&difference.live));
            let _ = writeln!(text, "  {}: recorded {recorded}, asked {live}", difference.field);
        }
        if differences.len() > MOST_TOLD {
            let _ = writeln!(text, "  and {} more", differences.len() - MOST_TOLD);
        }
        Ok(text)
    }
}
