//! Exporters with the settings applied.

use policy_kubernetes::exporters::{Exporter, ResourceAmount};

use crate::settings::{AmountSettings, ExporterSettings};

/// An exporter with its settings; a value that is not set comes from `built_in`.
#[derive(Clone, Copy)]
pub(crate) struct EffectiveExporter<'s> {
    pub(crate) name: &'s str,
    pub(crate) built_in: &'static Exporter,
    pub(crate) settings: Option<&'s ExporterSettings>,
}

impl<'s> EffectiveExporter<'s> {
    fn setting<T>(self, pick: impl Fn(&'s ExporterSettings) -> Option<T>) -> Option<T> {
        self.settings.and_then(pick)
    }

    pub(crate) fn image(self) -> &'s str {
        self.setting(|s| s.image.as_deref()).unwrap_or(self.built_in.image)
    }

    pub(crate) fn port(self) -> u32 {
        self.setting(|s| s.port).unwrap_or(self.built_in.port)
    }

    pub(crate) fn run_as_user(self) -> u32 {
        self.setting(|s| s.run_as_user).unwrap_or(self.built_in.run_as_user)
    }

    pub(crate) fn liveness_path(self) -> &'s str {
        self.setting(|s| s.liveness_path.as_deref()).unwrap_or(self.built_in.liveness_path)
    }

    /// The Secret from the settings, for pods that do not name one.
    pub(crate) fn secret(self) -> Option<&'s str> {
        self.setting(|s| s.secret.as_deref())
    }

    pub(crate) fn needs_secret(self) -> bool {
        let built_in = self.built_in.credentials.as_ref().is_some_and(|credentials| credentials.required);
        self.setting(|s| s.needs_secret).unwrap_or(built_in)
    }

    /// The variable that gets the Secret's key; `None` if the exporter uses no Secret.
    pub(crate) fn secret_variable(self) -> Option<&'s str> {
        let built_in = self.built_in.credentials.as_ref().map(|credentials| credentials.variable);
        self.setting(|s| s.secret_variable.as_deref()).or(built_in)
    }

    /// The requests and the limits, each as CPU and memory.
    pub(crate) fn resources(self) -> [(&'s str, &'s str); 2] {
        let of = |setting: Option<&'s AmountSettings>, built_in: &ResourceAmount| match setting {
            Some(amount) => (amount.request.as_str(), amount.limit.as_str()),
            None => (built_in.request, built_in.limit),
        };
        let cpu = of(self.setting(|s| s.cpu.as_ref()), &self.built_in.cpu);
        let memory = of(self.setting(|s| s.memory.as_ref()), &self.built_in.memory);
        [(cpu.0, memory.0), (cpu.1, memory.1)]
    }

    /// The arguments. Without settings, those for credentials come last.
    pub(crate) fn args(self, with_secret: bool) -> Vec<String> {
        let credentials = self.built_in.credentials.as_ref().filter(|_| with_secret);
        let args: Vec<&str> = match self.setting(|s| s.args.as_ref()) {
            Some(args) => args.iter().map(String::as_str).collect(),
            None => self
                .built_in
                .args
                .iter()
                .chain(credentials.into_iter().flat_map(|c| c.args))
                .copied()
                .collect(),
        };
        args.into_iter().map(|arg| self.fill(arg)).collect()
    }

    /// The variables with a literal value. Variables from the settings are added, and replace built-in ones of the same name.
    pub(crate) fn env(self, with_secret: bool) -> Vec<(&'s str, String)> {
        let credentials = self.built_in.credentials.as_ref().filter(|_| with_secret);
        let built_in = self.built_in.env.iter().chain(credentials.into_iter().flat_map(|c| c.env)).copied();
        let added = self.setting(|s| s.env.as_ref());
        let is_added = |name: &str| added.is_some_and(|env| env.iter().any(|variable| variable.name == name));
        let kept = built_in.filter(|(name, _)| !is_added(name));
        let added = added.into_iter().flatten().map(|v| (v.name.as_str(), v.value.as_str()));
        kept.chain(added).map(|(name, value)| (name, self.fill(value))).collect()
    }

    /// Whether the predicate holds for any image pattern of the exporter.
    pub(crate) fn any_image(self, is_true: &dyn Fn(&str) -> bool) -> bool {
        match self.setting(|s| s.images.as_ref()) {
            Some(images) => images.iter().any(|image| is_true(image)),
            None => self.built_in.images.iter().any(|image| is_true(image)),
        }
    }

    /// Whether that program starts a server in the exporter's images.
    pub(crate) fn has_program(self, program: &str) -> bool {
        match self.setting(|s| s.programs.as_ref()) {
            Some(programs) => programs.iter().any(|known| known == program),
            None => self.built_in.programs.contains(&program),
        }
    }

    fn fill(self, text: &str) -> String {
        let port = self.port().to_string();
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled += before;
            let (name, behind) = after.split_once('}').unwrap_or_default();
            let value = match name {
                "port" => Some(port.as_str()),
                "username" => self.setting(|s| s.username.as_deref()).or(Some(self.built_in.username)),
                "variable" => self.secret_variable(),
                _ => None,
            };
            filled += value.unwrap_or("{");
            rest = if value.is_some() { behind } else { after };
        }
        filled + rest
    }
}
