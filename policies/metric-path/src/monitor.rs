//! Evaluates a monitor: it must have targets, and it should scrape each of them only once.

use policy_core::{Field, Request, Undecided, Verdict};
use policy_kubernetes::inventory::ListedObject;
use policy_kubernetes::monitor::{self, Scrape};

use crate::MetricContext;
use crate::finding::LinkFinding;

pub(crate) fn evaluate<'a>(
    set: &MetricContext<'a>,
    request: &Request<'a>,
    verdict: &mut Verdict,
) -> Result<(), Undecided> {
    let own = ListedObject {
        kind: request.kind.kind,
        namespace: request.namespace,
        name: request.object.at("metadata.name").text()?,
        field: request.object,
    };
    let targets = monitor::targets(&set.inventory, &set.settings.prometheus, &own)?;
    for broken in targets.broken {
        LinkFinding::from(broken).deny(set.settings, verdict);
    }
    for (i, scrape) in targets.scrapes.iter().enumerate() {
        let earlier = targets.scrapes.iter().take(i).find(|earlier| is_again(earlier, scrape));
        if let (Some(earlier), Some((service, _))) = (earlier, &scrape.service) {
            let before = earlier.service.as_ref().map(|(service, _)| service.display()).unwrap_or_default();
            let message = format!(
                "{} is scraped twice: through {} and through {before}",
                scrape.pods.display(),
                service.display()
            );
            verdict.warn(scrape.endpoint, message);
        }
    }
    Ok(())
}

/// Whether both scrape the same port and path of the same pods through different Services.
fn is_again(earlier: &Scrape<'_, '_>, scrape: &Scrape<'_, '_>) -> bool {
    let path = |endpoint: Field<'_>| endpoint.at("path").text().unwrap_or_default().to_owned();
    let service = |scrape: &Scrape<'_, '_>| scrape.service.as_ref().map(|(service, _)| service.display());
    earlier.number == scrape.number
        && earlier.pods.display() == scrape.pods.display()
        && path(earlier.endpoint) == path(scrape.endpoint)
        && service(earlier) != service(scrape)
}
