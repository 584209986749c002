//! A monitor: does it lead to a target, and to each only once?

use policy_core::{Field, Request, Undecided, Verdict};

use crate::scrape::{self, Scrape};
use crate::set::{Object, Set};

pub(crate) fn judge<'a>(
    set: &Set<'a>,
    request: &Request<'a>,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let monitor = Object {
        kind: request.kind.name,
        namespace: request.namespace,
        name: request.object.at("metadata.name").text()?,
        field: request.object,
    };
    let found = scrape::of(set, &monitor)?;
    for broken in found.broken {
        broken.say(set.settings, verdict);
    }
    for (i, scrape) in found.scrapes.iter().enumerate() {
        let again = found.scrapes.iter().take(i).find(|other| other.is_again(scrape));
        if let (Some(again), Some((service, _))) = (again, &scrape.service) {
            let before = again.service.as_ref().map(|(service, _)| service.shown()).unwrap_or_default();
            let message = format!(
                "{} is scraped twice: by way of {} and of {before}",
                scrape.pods.shown(),
                service.shown()
            );
            verdict.warn(scrape.endpoint, message);
        }
    }
    Ok(())
}

impl Scrape<'_> {
    /// Whether the other is of the same pods, port and path, by way of another Service.
    fn is_again(&self, other: &Scrape<'_>) -> bool {
        let path = |endpoint: Field<'_>| endpoint.at("path").text().unwrap_or_default().to_owned();
        let service = |scrape: &Scrape<'_>| scrape.service.as_ref().map(|(service, _)| service.shown());
        self.number == other.number
            && self.pods.shown() == other.pods.shown()
            && path(self.endpoint) == path(other.endpoint)
            && service(self) != service(other)
    }
}
