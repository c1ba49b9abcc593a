"""Why a score is what it is: which features drove it, by model, and what each other outcome would have done."""
