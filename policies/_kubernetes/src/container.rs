//! Containers: their list in the pod, whether they keep running, and their ports.

use policy_core::{Field, Undecided};

use crate::ports::{NamedPort, Protocol, port_number};

/// One container of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a> {
    /// The list that contains it.
    pub list: ContainerList,
    /// The container.
    pub field: Field<'a>,
    /// Its `securityContext`, which most controls read.
    pub security_context: Field<'a>,
}

impl<'a> Container<'a> {
    /// The name; empty if it has none.
    ///
    /// # Errors
    /// `name` is not a string.
    pub fn name(&self) -> Result<&'a str, Undecided> {
        self.field.at("name").text()
    }

    /// The image; empty if it has none.
    ///
    /// # Errors
    /// `image` is not a string.
    pub fn image(&self) -> Result<&'a str, Undecided> {
        self.field.at("image").text()
    }

    /// The declared ports.
    ///
    /// # Errors
    /// `ports` is not a list.
    pub fn ports(&self) -> Result<impl ExactSizeIterator<Item = ContainerPort<'a>>, Undecided> {
        Ok(self.field.at("ports").items()?.map(|field| ContainerPort { field }))
    }

    /// Whether it runs as long as the pod: true for regular containers and native sidecars, false for other init containers.
    ///
    /// # Errors
    /// `restartPolicy` is not a string.
    pub fn keeps_running(&self) -> Result<bool, Undecided> {
        Ok(match self.list {
            ContainerList::Regular => true,
            ContainerList::Init => self.field.at("restartPolicy").str()? == Some("Always"),
            ContainerList::Ephemeral => false,
        })
    }
}

/// A port that a container declares.
#[derive(Clone, Copy, Debug)]
pub struct ContainerPort<'a> {
    /// The entry in `ports`.
    pub field: Field<'a>,
}

impl<'a> ContainerPort<'a> {
    /// The name; empty if it has none.
    ///
    /// # Errors
    /// `name` is not a string.
    pub fn name(self) -> Result<&'a str, Undecided> {
        self.field.at("name").text()
    }

    /// `containerPort` as written, even if it is not a valid port number.
    ///
    /// # Errors
    /// `containerPort` is not an integer.
    pub fn written_number(self) -> Result<Option<i64>, Undecided> {
        self.field.at("containerPort").int()
    }

    /// The number; `None` if none is set.
    ///
    /// # Errors
    /// The number is not a valid port.
    pub fn number(self) -> Result<Option<u16>, Undecided> {
        let number = self.field.at("containerPort");
        if number.is_set()? { port_number(number).map(Some) } else { Ok(None) }
    }

    /// Whether it is a TCP port. TCP is the default protocol.
    ///
    /// # Errors
    /// `protocol` is not a string.
    pub fn is_tcp(self) -> Result<bool, Undecided> {
        is_tcp(self.field)
    }

    /// The port with its name, as NetworkPolicies and Services refer to it; `None` without a name or a number.
    ///
    /// # Errors
    /// The protocol or the number is not valid.
    pub fn named(self) -> Result<Option<NamedPort<'a>>, Undecided> {
        let name = self.name()?;
        if name.is_empty() {
            return Ok(None);
        }
        let Some(number) = self.number()? else { return Ok(None) };
        Ok(Some(NamedPort { name, protocol: Protocol::read(self.field.at("protocol"))?, number }))
    }
}

/// Whether a port of a container or a Service is a TCP port. TCP is the default protocol.
///
/// # Errors
/// `protocol` is not a string.
pub fn is_tcp(port: Field<'_>) -> Result<bool, Undecided> {
    Ok(port.at("protocol").str()?.is_none_or(|protocol| protocol == "TCP"))
}

/// The lists of containers in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerList {
    /// `initContainers`, including native sidecars.
    Init,
    /// `containers`.
    Regular,
    /// `ephemeralContainers`, for example those that `kubectl debug` adds.
    Ephemeral,
}
