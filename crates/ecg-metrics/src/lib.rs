//! Metrics for multi-label classifiers, equal to scikit-learn's
