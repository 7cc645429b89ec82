import { App, Stack } from 'aws-cdk-lib';
import { Invalidator } from './invalidator';

const app = new App();
const stack = new Stack(app, 'CloudfrontInvalidator');
new Invalidator(stack, 'Invalidator', {
  dist: app.node.tryGetContext('dist') ?? '../../dist',
  architecture: app.node.tryGetContext('architecture') ?? 'arm64',
  parameters: { BucketNames: ['my-bucket'] },
});
