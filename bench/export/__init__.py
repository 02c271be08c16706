"""Hand finished runs over to other tools: MLflow, TensorBoard, Optuna, fev, Croissant."""
