// The SDK's scenarios against a gatekeeper with the embedded store.
import { startSdkNetwork } from './sdk-network.ts';
import { testSdk } from './sdk-scenarios.ts';

testSdk(() => startSdkNetwork());
