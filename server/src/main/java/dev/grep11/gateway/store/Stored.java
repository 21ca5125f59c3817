package dev.grep11.gateway.store;

/** What a row can hold. */
sealed interface Stored
    permits InstanceRecord,
        Grant,
        ApiKeyRecord,
        RegistryRecord,
        ReplicaRecord,
        SealingKeyUse,
        AdministratorRecord,
        EnrolmentRecord,
        EventRecord,
        AuditHeadRecord,
        UpkeepRecord {}
