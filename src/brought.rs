//! The seam at which a part of the module is brought later: where the module is in parts (the feature `parts`), the code behind a value
//! of functions lies in the file of the part that calls `bring`, and not in the first one. What is brought is said where it lives.

/// Writes `bring()`, and a function that gives the value: nothing before `bring` was called where the module is in parts, the value
/// at once where it is one file.
macro_rules! brought {
    ($visible:vis $name:ident: $kind:ty = $value:expr) => {
        #[cfg(feature = "parts")]
        static BROUGHT: std::sync::OnceLock<$kind> = std::sync::OnceLock::new();

        /// Brings what lies in a part of the module; nothing to do where it is one file.
        pub fn bring() {
            #[cfg(feature = "parts")]
            BROUGHT.get_or_init(|| $value);
        }

        #[cfg(feature = "parts")]
        $visible fn $name() -> Option<$kind> {
            BROUGHT.get().copied()
        }

        #[cfg(not(feature = "parts"))]
        $visible const fn $name() -> Option<$kind> {
            Some($value)
        }
    };
}
