drop index ledger.directive_version_address;
