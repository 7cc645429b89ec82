import * as path from 'node:path';
import { Validations } from 'aws-cdk-lib';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { CfnFunction } from 'aws-cdk-lib/aws-sam';
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include';
import { Construct } from 'constructs';

export interface InvalidatorProps {
  /** The folder with the files of a release, as `make release` builds them. */
  readonly dist: string;

  /** The function's architecture. The folder must have its archive. */
  readonly architecture: 'arm64' | 'x86_64';

  /** The template's parameters. All others keep their defaults. */
  readonly parameters: { BucketNames: string[]; [name: string]: string | string[] };
}

/** The packaged template as a part of a CDK stack: the function with its queue, alarms and dashboard. */
export class Invalidator extends Construct {
  /** The template, for references to its resources. */
  readonly template: CfnInclude;

  constructor(scope: Construct, id: string, props: InvalidatorProps) {
    super(scope, id);
    const file = (name: string) => path.join(props.dist, name);
    const code = new Asset(this, 'Code', { path: file(`invalidator-${props.architecture}.zip`) });
    this.template = new CfnInclude(this, 'Template', {
      templateFile: file(`template-${props.architecture}.yaml`),
      parameters: props.parameters,
    });
    const invalidator = this.template.getResource('Function') as CfnFunction;
    invalidator.codeUri = { bucket: code.s3BucketName, key: code.s3ObjectKey };

    // The CDK demands OnSuccess beside OnFailure, which CloudFormation does not.
    const events = invalidator.eventInvokeConfig as CfnFunction.EventInvokeConfigProperty;
    const destinations = events.destinationConfig as CfnFunction.EventInvokeDestinationConfigProperty;
    const both = { ...destinations, onSuccess: destinations.onFailure as CfnFunction.DestinationProperty };
    invalidator.eventInvokeConfig = { ...events, destinationConfig: both };
    invalidator.addPropertyDeletionOverride('EventInvokeConfig.DestinationConfig.OnSuccess');

    Validations.of(this).acknowledge({
      id: 'CloudFormation-Validate::W1030',
      reason: 'The alarms use AlarmTopic only if it is not empty.',
    });
  }
}
