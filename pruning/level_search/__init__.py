"""The machine chooses: one level for each unit group, solved from what each costs and loses, and measured together."""
