"""Attribution: how much each input of a row speaks for the model's answer, with a check on every explanation."""
