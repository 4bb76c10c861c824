//! Loads what `--data` names: a folder of recordings, or an `.npz` that `convert` wrote.
